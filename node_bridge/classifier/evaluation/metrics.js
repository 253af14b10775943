/**
 * Computes the figures of an evaluation: of each label, of the confidences, and of the threshold where
 * there are two labels. The names of the fields are those of the JSON document.
 */
import { computeLabelF1, wilsonInterval95 } from './evaluation.js';

/** How many bins of equal width the confidences are counted in: as many as in the experiments of Guo et al. (2017). */
const BINS = 15;
/** The thresholds are 0, 1/100, 2/100 … 1. */
const THRESHOLD_STEPS = 100;

/**
 * @typedef {import('./evaluation.js').Evaluation} Evaluation
 * @typedef {import('./evaluation.js').Decisions} Decisions
 *
 * @typedef {object} LabelFigures where nothing can be divided by, a figure is null
 * @property {string} label
 * @property {number | null} precision the share that is right of the texts for which it was predicted
 * @property {number | null} recall the share that was found of the texts that have it
 * @property {number | null} f1 the harmonic mean of the two
 * @property {number} texts that have the label; also called support
 * @property {number} predicted texts for which it was predicted
 *
 * @typedef {object} Bin of confidences, above `from` and up to `to`
 * @property {number} from
 * @property {number} to
 * @property {number} texts
 * @property {number} right
 * @property {number | null} confidence their mean
 * @property {number | null} accuracy
 *
 * @typedef {object} Calibration
 * @property {number} expected_calibration_error
 * @property {number} mean_confidence
 * @property {Bin[]} bins
 *
 * @typedef {object} ThresholdPoint precision is null where nothing is predicted, recall where no text has the label
 * @property {number} threshold
 * @property {number | null} precision
 * @property {number | null} recall
 * @property {number | null} f1
 *
 * @typedef {object} ThresholdCurve
 * @property {string} label that is predicted from the threshold on
 * @property {ThresholdPoint} best the first of those with the highest F1
 * @property {ThresholdPoint[]} points
 *
 * @typedef {object} Metrics
 * @property {number} texts
 * @property {number} right
 * @property {number} accuracy
 * @property {[number, number]} accuracy_interval Wilson's, 95 %
 * @property {number} macro_f1
 * @property {number} loss mean cross-entropy
 * @property {{label: string, accuracy: number}} majority always the same label
 * @property {LabelFigures[]} labels
 * @property {number[][]} [confusion] `confusion[true][predicted]`
 * @property {{truth: number, predicted: number, count: number}[]} [confusion_pairs] the same for very many labels
 * @property {Calibration} calibration
 * @property {ThresholdCurve} [thresholds] of the second label, if there are two
 */

/**
 * @param {Evaluation} evaluation
 * @param {string[]} names of the labels
 * @param {string} [majorityLabel] that the baseline always gives; by default the commonest of these texts
 * @returns {Metrics}
 */
export function computeMetrics({ accuracy, macroF1, loss, confusion, decisions }, names, majorityLabel) {
  const { count } = decisions;
  const { truths, right } = confusion;
  const commonest =
    majorityLabel === undefined ? truths.indexOf(truths.reduce((a, b) => Math.max(a, b))) : names.indexOf(majorityLabel);
  return {
    texts: count,
    right: right.reduce((sum, one) => sum + one, 0),
    accuracy,
    accuracy_interval: wilsonInterval95(accuracy, count),
    macro_f1: macroF1,
    loss,
    majority: { label: names[commonest], accuracy: truths[commonest] / count },
    labels: computeLabelFigures(confusion, names),
    ...summarizeConfusion(confusion),
    calibration: computeCalibration(decisions),
    ...(names.length === 2 ? { thresholds: computeThresholdCurve(decisions, names[1]) } : {}),
  };
}

/**
 * The whole matrix, or with very many labels the pairs that occur.
 *
 * @param {import('./evaluation.js').ConfusionCounts} confusion
 * @returns {Pick<Metrics, 'confusion' | 'confusion_pairs'>}
 */
export function summarizeConfusion({ matrix, pairs }) {
  return matrix === undefined ? { confusion_pairs: pairs } : { confusion: matrix };
}

/** @param {import('./evaluation.js').ConfusionCounts} confusion @param {string[]} names @returns {LabelFigures[]} */
function computeLabelFigures(confusion, names) {
  const { truths, predictions, right } = confusion;
  const f1 = computeLabelF1(confusion);
  return names.map((label, i) => ({
    label,
    precision: divide(right[i], predictions[i]),
    recall: divide(right[i], truths[i]),
    f1: f1[i] ?? null,
    texts: truths[i],
    predicted: predictions[i],
  }));
}

/**
 * How far the confidences are from the share that is right. The expected calibration error is that of
 * Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017): in M bins of
 * equal width ((m − 1)/M, m/M] the difference of accuracy and mean confidence, weighted by the texts of
 * the bin. The confidence is the probability of the label that was chosen. The bins are their
 * reliability diagram (DeGroot and Fienberg, 1983).
 *
 * @param {Decisions} decisions
 * @returns {Calibration}
 */
function computeCalibration({ count, confidences, targets, predictions }) {
  const texts = new Array(BINS).fill(0);
  const right = new Array(BINS).fill(0);
  const sums = new Array(BINS).fill(0);
  for (let i = 0; i < count; i += 1) {
    // Rounding may make a probability a little more than 1.
    const bin = Math.min(Math.max(0, Math.ceil(confidences[i] * BINS) - 1), BINS - 1);
    texts[bin] += 1;
    right[bin] += Number(targets[i] === predictions[i]);
    sums[bin] += confidences[i];
  }
  return {
    expected_calibration_error: sums.reduce((sum, one, bin) => sum + Math.abs(right[bin] - one), 0) / count,
    mean_confidence: sums.reduce((sum, one) => sum + one, 0) / count,
    bins: texts.map((inBin, bin) => ({
      from: bin / BINS,
      to: (bin + 1) / BINS,
      texts: inBin,
      right: right[bin],
      confidence: divide(sums[bin], inBin),
      accuracy: divide(right[bin], inBin),
    })),
  };
}

/**
 * Precision, recall and F1 of the second label if it is predicted from a threshold of its probability on,
 * for many thresholds (van Rijsbergen, "Information Retrieval", 1979).
 *
 * @param {Decisions} decisions of two labels
 * @param {string} label the second one
 * @returns {ThresholdCurve}
 */
function computeThresholdCurve({ count, seconds, targets }, label) {
  // For each threshold the texts whose probability reaches it and not the next one, by their true label.
  const reached = [0, 1].map(() => new Array(THRESHOLD_STEPS + 1).fill(0));
  for (let i = 0; i < count; i += 1) reached[targets[i]][findThreshold(seconds[i])] += 1;
  const having = reached[1].reduce((sum, one) => sum + one, 0);
  /** @type {ThresholdPoint[]} */
  const points = [];
  let [wrong, right] = [0, 0];
  for (let step = THRESHOLD_STEPS; step >= 0; step -= 1) {
    wrong += reached[0][step];
    right += reached[1][step];
    points.unshift({
      threshold: step / THRESHOLD_STEPS,
      precision: divide(right, right + wrong),
      recall: divide(right, having),
      f1: divide(2 * right, right + wrong + having),
    });
  }
  const best = points.reduce((most, point) => ((point.f1 ?? 0) > (most.f1 ?? 0) ? point : most));
  return { label, best, points };
}

/** The last threshold that a probability reaches. @param {number} probability */
function findThreshold(probability) {
  const step = Math.min(Math.floor(probability * THRESHOLD_STEPS) + 1, THRESHOLD_STEPS);
  return step / THRESHOLD_STEPS <= probability ? step : step - 1;
}

/** @param {number} part @param {number} whole @returns {number | null} null where `whole` is 0 */
function divide(part, whole) {
  return whole === 0 ? null : part / whole;
}
