/** The figures of several labels a text as lines of a terminal and as sections of a page. */
import { toPrintable } from '../../../support/printable.js';
import { WRONG_TEXTS } from '../evaluation_files.js';
import { formatInterval, formatLabels, formatPercent, formatPoint } from '../evaluation_messages.js';
import { MAX_ROWS, renderCalibration, renderLabels, renderTexts, renderThresholds, shortenLabel } from '../evaluation_page.js';
import { escapeHtml } from '../page.js';

/** A longer list of labels does not fit a line. */
const MAX_LIST_LENGTH = 120;

/**
 * @typedef {import('./multi_label.js').MultiLabelFigures} MultiLabelFigures
 * @typedef {import('./multi_label.js').WrongSet} WrongSet
 */

/**
 * @param {MultiLabelFigures} figures
 * @param {WrongSet | undefined} worst the most confident of the wrong texts
 * @returns {string[]} lines
 */
export function formatMultiLabel(figures, worst) {
  const { texts, right } = figures;
  const example = worst === undefined ? '' : `; the most confident is in line ${worst.line}: ${describeWrong(worst)}`;
  return [
    '',
    ...formatLabels(figures.labels),
    '',
    formatSubsetAccuracy(figures),
    formatF1(figures),
    formatLabelCalibration(figures),
    formatThresholds(figures),
    `${texts - right} of ${texts} texts are wrong${example}`,
  ];
}

/** @param {MultiLabelFigures} figures */
export function formatMultiLabelSummary(figures) {
  return `${formatSubsetAccuracy(figures)}; ${formatF1(figures)}`;
}

/** Where the baseline comes from. @param {MultiLabelFigures} figures */
export function describeBaseline({ majority: { labels, subset_accuracy: accuracy } }) {
  return `subset accuracy ${formatPercent(accuracy)}, always ${list(labels)}: the commonest set of labels of these texts, not of the training texts`;
}

/** @param {MultiLabelFigures} figures @param {WrongSet[]} wrong @returns {string[]} */
export function renderMultiLabel(figures, wrong) {
  return [
    ...renderLabels(figures.labels),
    ...renderCalibration(figures.calibration.bins, {
      about: `${formatLabelCalibration(figures)}. Each pair of a text and a label counts: of the labels that a calibrated classifier gives a probability of 80 %, the texts have 80 %.`,
      counted: 'pairs of a text and a label',
      share: 'share of true labels',
      right: 'true',
      wrong: 'not true',
    }),
    ...renderThresholds(figures.thresholds, { about: formatThresholds(figures), of: 'all labels together' }),
    ...renderWrong(figures, wrong),
  ];
}

/** @param {MultiLabelFigures} figures */
function formatSubsetAccuracy({ subset_accuracy: accuracy, subset_accuracy_interval: interval, majority }) {
  return (
    `subset accuracy ${formatPercent(accuracy)} (${formatInterval(interval)}; ` +
    `majority baseline ${formatPercent(majority.subset_accuracy)}, always ${list(majority.labels)})`
  );
}

/** @param {MultiLabelFigures} figures */
function formatF1({ micro_f1: micro, micro_precision: precision, micro_recall: recall, macro_f1: macro, loss }) {
  return (
    `micro-F1 ${formatPercent(micro)} (precision ${formatPercent(precision)}, recall ${formatPercent(recall)}); ` +
    `macro-F1 ${formatPercent(macro)}; binary cross-entropy ${loss.toFixed(4)}`
  );
}

/** @param {MultiLabelFigures} figures */
function formatLabelCalibration({ calibration: { expected_calibration_error: error, mean_confidence: mean, bins } }) {
  const [right, count] = bins.reduce(([some, all], bin) => [some + bin.right, all + bin.count], [0, 0]);
  return (
    `expected calibration error ${formatPercent(error)} (${bins.length} bins): ` +
    `the mean probability of a label is ${formatPercent(mean)}, the share of true labels ${formatPercent(right / count)}`
  );
}

/** @param {MultiLabelFigures} figures */
function formatThresholds({ micro_f1: f1, thresholds: { current, best } }) {
  return `from a probability of ${best.threshold.toFixed(2)} on the labels have the highest micro-F1: ${formatPoint(best)}; at the classifier's threshold of ${current} it is ${formatPercent(f1)}`;
}

/** @param {MultiLabelFigures} figures @param {WrongSet[]} wrong */
function renderWrong({ texts, right }, wrong) {
  if (wrong.length === 0) return ['<h2>Wrong texts</h2>', '<p>None.</p>'];
  const rows = wrong.slice(0, MAX_ROWS).map(({ line, labels, missing, extra, error, predicted: _, ...text }) => ({
    ...text,
    cells: [
      String(line),
      list(labels),
      ...[missing, extra].map((some) => (some.length === 0 ? '–' : list(some))),
      formatPercent(error),
    ],
  }));
  const first = rows.length === 1 ? 'most confident' : `${rows.length} most confident`;
  return [
    '<h2>Wrong texts</h2>',
    `<p>${texts - right} of ${texts} texts are wrong; the ${first} first. ${escapeHtml(`All of them are in ${WRONG_TEXTS}.`)} The error is that of the label that is furthest off: its probability if it is extra, and what is left to 100 % if it is missing.</p>`,
    renderTexts(['line', 'true', 'missing', 'extra', 'error'], rows),
  ];
}

/** @param {WrongSet} wrong */
function describeWrong({ missing, extra, error }) {
  const parts = [
    ...(missing.length > 0 ? [`${list(missing)} missing`] : []),
    ...(extra.length > 0 ? [`${list(extra)} extra`] : []),
  ];
  return `${parts.join(', ')}, error ${formatPercent(error)}`;
}

/** @param {string[]} labels */
function list(labels) {
  return labels.length === 0 ? 'no label' : toPrintable(labels.map(shortenLabel).join(', '), MAX_LIST_LENGTH);
}
