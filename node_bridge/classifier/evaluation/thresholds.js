/** Precision, recall and F1 of what is predicted from a threshold of its probability on. */
import { divide } from './calibration.js';

/** The thresholds are 0, 1/100, 2/100 … 1. */
const THRESHOLD_STEPS = 100;

/**
 * @typedef {object} ThresholdPoint precision is null where nothing is predicted, recall where nothing is true
 * @property {number} threshold
 * @property {number | null} precision
 * @property {number | null} recall
 * @property {number | null} f1
 */

/** Counts probabilities for the curve over all thresholds (van Rijsbergen, "Information Retrieval", 1979). */
export class ThresholdCounter {
  /** For each threshold the probabilities that reach it and not the next one: of what is not true, and of what is. */
  #reached = [0, 1].map(() => new Array(THRESHOLD_STEPS + 1).fill(0));

  /** @param {number} probability @param {boolean} isTrue */
  add(probability, isTrue) {
    this.#reached[Number(isTrue)][findThreshold(probability)] += 1;
  }

  /** The points in order of the threshold, and the first of those with the highest F1. */
  summarize() {
    const having = this.#reached[1].reduce((sum, one) => sum + one, 0);
    /** @type {ThresholdPoint[]} */
    const points = [];
    let [wrong, right] = [0, 0];
    for (let step = THRESHOLD_STEPS; step >= 0; step -= 1) {
      wrong += this.#reached[0][step];
      right += this.#reached[1][step];
      points.unshift({
        threshold: step / THRESHOLD_STEPS,
        precision: divide(right, right + wrong),
        recall: divide(right, having),
        f1: divide(2 * right, right + wrong + having),
      });
    }
    const best = points.reduce((most, point) => ((point.f1 ?? 0) > (most.f1 ?? 0) ? point : most));
    return { best, points };
  }
}

/** The last threshold that a probability reaches; a model's own number may be less than 0. @param {number} probability */
function findThreshold(probability) {
  const step = Math.min(Math.floor(probability * THRESHOLD_STEPS) + 1, THRESHOLD_STEPS);
  return Math.max(0, step / THRESHOLD_STEPS <= probability ? step : step - 1);
}
