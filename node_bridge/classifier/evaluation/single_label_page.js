/** The sections of a page on texts of which one label is right, of evaluate.js and of train.js. */
import { MAX_ROWS, renderCalibration, renderLabels, renderTexts, renderThresholds, shortenLabel } from './evaluation_page.js';
import { formatAccuracy, formatBestThreshold, formatCalibration, formatPercent } from './evaluation_messages.js';
import { escapeHtml, renderTable } from './page.js';

/** A confusion table of more labels is not readable. */
const MAX_MATRIX_LABELS = 40;

/**
 * @typedef {import('./metrics.js').Metrics} Metrics
 * @typedef {import('./wrong_texts.js').WrongText} WrongText
 */

/** The most important figures in words. @param {Metrics} metrics */
export function formatSummary(metrics) {
  return `${formatAccuracy(metrics)}, macro-F1 ${formatPercent(metrics.macro_f1)}, cross-entropy ${metrics.loss.toFixed(4)}`;
}

/**
 * @param {object} shown
 * @param {Metrics} shown.metrics
 * @param {WrongText[]} shown.wrong the most confident first; maybe not all of them
 * @param {string} shown.allWrong where all of them are
 * @returns {string[]}
 */
export function renderEvaluation({ metrics, wrong, allWrong }) {
  const { labels, calibration, thresholds } = metrics;
  return [
    ...renderLabels(labels),
    ...renderConfusion(metrics),
    ...renderCalibration(
      calibration.bins.map(({ texts, ...bin }) => ({ ...bin, count: texts })),
      {
        about: `${formatCalibration(metrics)}. The confidence is the probability of the label that was chosen; a calibrated classifier is right for 80 % of the texts of which it is 80 % sure.`,
        counted: 'texts',
      },
    ),
    ...(thresholds === undefined
      ? []
      : renderThresholds(thresholds, { about: formatBestThreshold(thresholds), of: JSON.stringify(thresholds.label) })),
    ...renderWrongTexts(metrics, wrong, allWrong),
  ];
}

/** @param {Metrics} metrics */
function renderConfusion({ labels, confusion, confusion_pairs: pairs }) {
  const names = labels.map(({ label }) => shortenLabel(label));
  if (confusion !== undefined && names.length <= MAX_MATRIX_LABELS) {
    const rows = confusion.map((row, i) => [
      names[i],
      ...row.map((count, j) => (i === j ? /** @type {const} */ ({ text: String(count), kind: 'right' }) : String(count))),
    ]);
    return ['<h2>Confusion</h2>', renderTable(['true \\ predicted', ...names], rows)];
  }
  const found = pairs ?? (confusion ?? []).flatMap((row, truth) => row.map((count, predicted) => ({ truth, predicted, count })));
  const commonest = found
    .filter(({ truth, predicted, count }) => truth !== predicted && count > 0)
    .sort((a, b) => b.count - a.count)
    .slice(0, MAX_ROWS);
  const rows = commonest.map(({ truth, predicted, count }) => [names[truth], names[predicted], String(count)]);
  return ['<h2>Commonest confusions</h2>', renderTable(['true', 'predicted', 'texts'], rows)];
}

/** @param {Metrics} metrics @param {WrongText[]} wrong @param {string} allWrong */
function renderWrongTexts({ texts, right }, wrong, allWrong) {
  if (texts === right) return ['<h2>Wrong texts</h2>', '<p>None.</p>'];
  const rows = wrong.slice(0, MAX_ROWS).map(({ line, label, predicted, probability, ...text }) => ({
    ...text,
    cells: [String(line), shortenLabel(label), shortenLabel(predicted), formatPercent(probability)],
  }));
  const first = rows.length === 1 ? 'most confident' : `${rows.length} most confident`;
  return [
    '<h2>Wrong texts</h2>',
    `<p>${texts - right} of ${texts} texts are wrong; the ${first} first. ${escapeHtml(allWrong)}</p>`,
    renderTexts(['line', 'true', 'predicted', 'confidence'], rows),
  ];
}
