/**
 * Computes the figures of an evaluation: of each label, of the confidences, and of the threshold where
 * there are two labels. The names of the fields are those of the JSON document.
 */
import { CalibrationCounter, divide } from './calibration.js';
import { computeLabelF1, wilsonInterval95 } from './evaluation.js';
import { ThresholdCounter } from './thresholds.js';

/**
 * @typedef {import('./evaluation.js').Evaluation} Evaluation
 * @typedef {import('./evaluation.js').Decisions} Decisions
 * @typedef {import('./evaluation.js').LabelCounts} LabelCounts
 *
 * @typedef {object} LabelFigures where nothing can be divided by, a figure is null
 * @property {string} label
 * @property {number | null} precision the share that is right of the texts for which it was predicted
 * @property {number | null} recall the share that was found of the texts that have it
 * @property {number | null} f1 the harmonic mean of the two
 * @property {number} texts that have the label; also called support
 * @property {number} predicted texts for which it was predicted
 *
 * @typedef {object} Calibration the confidence is the probability of the label that was chosen
 * @property {number} expected_calibration_error
 * @property {number} mean_confidence
 * @property {(Omit<import('./calibration.js').Bin, 'count'> & {texts: number})[]} bins
 *
 * @typedef {object} ThresholdCurve
 * @property {string} label that is predicted from the threshold on
 * @property {import('./thresholds.js').ThresholdPoint} best the first of those with the highest F1
 * @property {import('./thresholds.js').ThresholdPoint[]} points
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

/** @param {LabelCounts} counts @param {string[]} names @returns {LabelFigures[]} */
export function computeLabelFigures({ truths, predictions, right }, names) {
  const f1 = computeLabelF1({ truths, predictions, right });
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
 * Precision, recall and F1 of all labels together: each pair of a text and a label counts the same.
 *
 * @param {LabelCounts} counts
 */
export function computeMicroFigures({ truths, predictions, right }) {
  const [having, predicted, found] = [truths, predictions, right].map((all) => all.reduce((sum, one) => sum + one, 0));
  return {
    micro_precision: divide(found, predicted),
    micro_recall: divide(found, having),
    micro_f1: divide(2 * found, having + predicted),
  };
}

/** @param {Decisions} decisions @returns {Calibration} */
function computeCalibration({ count, confidences, targets, predictions }) {
  const counter = new CalibrationCounter();
  for (let i = 0; i < count; i += 1) counter.add(confidences[i], targets[i] === predictions[i]);
  const { expected_calibration_error: error, mean_confidence: mean, bins } = counter.summarize();
  return {
    expected_calibration_error: /** @type {number} */ (error),
    mean_confidence: /** @type {number} */ (mean),
    bins: bins.map(({ from, to, count: texts, ...rest }) => ({ from, to, texts, ...rest })),
  };
}

/**
 * The curve of the second label if it is predicted from a threshold of its probability on.
 *
 * @param {Decisions} decisions of two labels
 * @param {string} label the second one
 * @returns {ThresholdCurve}
 */
function computeThresholdCurve({ count, seconds, targets }, label) {
  const counter = new ThresholdCounter();
  for (let i = 0; i < count; i += 1) counter.add(seconds[i], targets[i] === 1);
  return { label, ...counter.summarize() };
}
