/** How far confidences are from the share that is right. */

/** How many bins of equal width the confidences are counted in: as many as in the experiments of Guo et al. (2017). */
const BINS = 15;

/**
 * @typedef {object} Bin of confidences, above `from` and up to `to`
 * @property {number} from
 * @property {number} to
 * @property {number} count
 * @property {number} right
 * @property {number | null} confidence their mean
 * @property {number | null} accuracy
 *
 * @typedef {object} Calibration where nothing was counted, both figures are null
 * @property {number | null} expected_calibration_error
 * @property {number | null} mean_confidence
 * @property {Bin[]} bins
 */

/**
 * Counts confidences in bins. The expected calibration error is that of Guo, Pleiss, Sun and Weinberger, "On
 * Calibration of Modern Neural Networks" (ICML 2017): in M bins of equal width ((m − 1)/M, m/M] the difference
 * of accuracy and mean confidence, weighted by what is in the bin. The bins are their reliability diagram
 * (DeGroot and Fienberg, 1983).
 */
export class CalibrationCounter {
  #counts = new Array(BINS).fill(0);
  #right = new Array(BINS).fill(0);
  #sums = new Array(BINS).fill(0);

  /** @param {number} confidence @param {boolean} isRight */
  add(confidence, isRight) {
    // Rounding may make a probability a little more than 1.
    const bin = Math.min(Math.max(0, Math.ceil(confidence * BINS) - 1), BINS - 1);
    this.#counts[bin] += 1;
    this.#right[bin] += Number(isRight);
    this.#sums[bin] += confidence;
  }

  /** @returns {Calibration} */
  summarize() {
    const [counts, right, sums] = [this.#counts, this.#right, this.#sums];
    const all = counts.reduce((sum, one) => sum + one, 0);
    const distance = sums.reduce((sum, one, bin) => sum + Math.abs(right[bin] - one), 0);
    return {
      expected_calibration_error: divide(distance, all),
      mean_confidence: divide(
        sums.reduce((sum, one) => sum + one, 0),
        all,
      ),
      bins: counts.map((count, bin) => ({
        from: bin / BINS,
        to: (bin + 1) / BINS,
        count,
        right: right[bin],
        confidence: divide(sums[bin], count),
        accuracy: divide(right[bin], count),
      })),
    };
  }
}

/** @param {number} part @param {number} whole @returns {number | null} null where `whole` is 0 */
export function divide(part, whole) {
  return whole === 0 ? null : part / whole;
}
