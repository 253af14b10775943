/** An evaluation as lines of a terminal. train.js uses a part of them. */
import { alignColumns } from '../../support/text_table.js';
import { toPrintable } from '../../support/printable.js';
import { formatConfusion } from './evaluation.js';

/** More labels, or a longer one, do not fit a terminal. */
const MAX_LABELS = 20;
const MAX_LABEL_LENGTH = 40;

/**
 * @typedef {import('./metrics.js').Metrics} Metrics
 * @typedef {import('./wrong_texts.js').WrongText} WrongText
 */

/**
 * @param {Metrics} metrics
 * @param {import('./evaluation.js').ConfusionCounts} confusion
 * @param {WrongText | undefined} worst the most confident of the wrong texts
 * @returns {string[]}
 */
export function formatEvaluation(metrics, confusion, worst) {
  const { texts, right, labels } = metrics;
  const names = labels.map(({ label }) => label);
  const wrong = texts - right;
  return [
    '',
    ...formatLabels(labels),
    '',
    ...formatConfusion(confusion, names),
    '',
    formatAccuracy(metrics),
    `macro-F1 ${formatPercent(metrics.macro_f1)}; cross-entropy ${metrics.loss.toFixed(4)}`,
    formatCalibration(metrics),
    ...(metrics.thresholds === undefined ? [] : [formatBestThreshold(metrics.thresholds)]),
    `${wrong} of ${texts} texts are wrong${worst === undefined ? '' : `; the most confident is in line ${worst.line}: ${describeWrong(worst)}`}`,
  ];
}

/**
 * The accuracy with its interval and the majority baseline, since alone it means little.
 *
 * @param {Pick<Metrics, 'accuracy' | 'accuracy_interval' | 'majority'>} metrics
 */
export function formatAccuracy({ accuracy, accuracy_interval: interval, majority }) {
  return (
    `accuracy ${formatPercent(accuracy)} (${formatInterval(interval)}; ` +
    `majority baseline ${formatPercent(majority.accuracy)}, always ${JSON.stringify(majority.label)})`
  );
}

/** @param {[number, number]} interval of a share */
export function formatInterval(interval) {
  const [low, high] = interval.map((share) => (100 * share).toFixed(1));
  return `95 % interval ${low} to ${high} %`;
}

/** @param {Metrics} metrics */
export function formatCalibration({ accuracy, calibration: { expected_calibration_error: error, mean_confidence: mean, bins } }) {
  return (
    `expected calibration error ${formatPercent(error)} (${bins.length} bins): ` +
    `the mean confidence is ${formatPercent(mean)}, the accuracy ${formatPercent(accuracy)}`
  );
}

/** @param {import('./metrics.js').ThresholdCurve} curve */
export function formatBestThreshold({ label, best }) {
  return `${JSON.stringify(label)} from a probability of ${best.threshold.toFixed(2)} on has the highest F1: ${formatPoint(best)}`;
}

/** @param {import('./thresholds.js').ThresholdPoint} point */
export function formatPoint({ f1, precision, recall }) {
  return `${formatPercent(f1)} (precision ${formatPercent(precision)}, recall ${formatPercent(recall)})`;
}

/** @param {WrongText} wrong */
function describeWrong({ label, predicted, probability }) {
  const [truth, chosen] = [label, predicted].map((name) => toPrintable(name, MAX_LABEL_LENGTH));
  return `${truth} taken for ${chosen}, ${formatPercent(probability)}`;
}

/**
 * The figures of each label as a table; of many labels the commonest.
 *
 * @param {Metrics['labels']} labels
 * @param {{label: string, texts: string}} [names] of the columns
 * @returns {string[]} lines
 */
export function formatLabels(labels, names = { label: 'label', texts: 'texts' }) {
  const shown = pickCommonest(labels, MAX_LABELS);
  const rows = shown.map(({ label, precision, recall, f1, texts, predicted }) => [
    toPrintable(label, MAX_LABEL_LENGTH),
    ...[precision, recall, f1].map(formatPercent),
    ...[texts, predicted].map(String),
  ]);
  const lines = alignColumns([[names.label, 'precision', 'recall', 'F1', names.texts, 'predicted'], ...rows]);
  return shown.length === labels.length
    ? lines
    : [...lines, `the ${shown.length} commonest of ${labels.length} labels (all with --json)`];
}

/**
 * The labels in their order, or, if there are more than `most`, the commonest ones.
 *
 * @template {{texts: number}} T
 * @param {T[]} labels
 * @param {number} most
 * @returns {T[]}
 */
export function pickCommonest(labels, most) {
  return labels.length <= most ? labels : [...labels].sort((a, b) => b.texts - a.texts).slice(0, most);
}

/** @param {number | null} share null: there is none */
export function formatPercent(share) {
  return share === null ? '–' : `${(100 * share).toFixed(1)} %`;
}
