/** An evaluation as sections of an HTML page, of evaluate.js and of train.js. */
import { toPrintable } from '../../support/printable.js';
import { renderCurves, renderHistogram, renderReliability, SHARES } from './charts.js';
import { formatAccuracy, formatBestThreshold, formatCalibration, formatPercent, pickCommonest } from './evaluation_messages.js';
import { escapeHtml, renderPage, renderTable } from './page.js';

/** A confusion table of more labels is not readable. */
const MAX_MATRIX_LABELS = 40;
/** The most rows of a table: labels, commonest confusions, wrong texts. */
const MAX_ROWS = 100;
const MAX_LABEL_LENGTH = 60;
const MAX_TEXT_LENGTH = 400;

/**
 * @typedef {import('./metrics.js').Metrics} Metrics
 * @typedef {import('./wrong_texts.js').WrongText} WrongText
 *
 * @typedef {object} Shown
 * @property {Metrics} metrics
 * @property {WrongText[]} wrong the most confident first; maybe not all of them
 * @property {string} allWrong where all of them are
 */

/**
 * The page of evaluate.js.
 *
 * @param {Shown & {title: string, facts: [string, string][], trained: boolean | null}} evaluation `facts`: what was
 *   evaluated; `trained`: whether the weights were trained, null if unknown
 * @returns {string}
 */
export function renderEvaluationPage({ title, facts, trained, ...shown }) {
  return renderPage(title, [
    ...renderWeightsWarning(trained),
    `<p>On these texts: ${renderSummary(shown.metrics)}</p>`,
    renderFacts([...facts, ['majority baseline', describeMajority(shown.metrics)]]),
    ...renderEvaluation(shown),
  ]);
}

/** A warning where the weights of the encoder were never trained. @param {boolean | null} trained null: unknown */
export function renderWeightsWarning(trained) {
  return trained === false ? [`<p class="warning">${UNTRAINED}</p>`] : [];
}

const UNTRAINED =
  '<b>The weights of the encoder are untrained</b>: they were drawn by a seed. The figures show that everything works, not how good a trained model is.';

/** Where the baseline comes from: a classifier does not say which label was the commonest in training. @param {Metrics} metrics */
function describeMajority({ majority: { label, accuracy } }) {
  return `${formatPercent(accuracy)}, always ${JSON.stringify(label)}: the commonest label of these texts, not of the training texts`;
}

/** The most important figures in words. @param {Metrics} metrics */
export function renderSummary(metrics) {
  return `${escapeHtml(formatAccuracy(metrics))}, macro-F1 ${formatPercent(metrics.macro_f1)}, cross-entropy ${metrics.loss.toFixed(4)}.`;
}

/** @param {[string, string][]} facts name and value */
export function renderFacts(facts) {
  return renderTable(
    [],
    facts.map(([name, text]) => [name, { text, kind: 'text' }]),
  );
}

/** The sections of an evaluation. @param {Shown} shown @returns {string[]} */
export function renderEvaluation({ metrics, wrong, allWrong }) {
  return [
    ...renderLabels(metrics),
    ...renderConfusion(metrics),
    ...renderCalibration(metrics),
    ...renderThresholds(metrics),
    ...renderWrongTexts(metrics, wrong, allWrong),
  ];
}

/** @param {Metrics} metrics */
function renderLabels({ labels }) {
  const shown = pickCommonest(labels, MAX_ROWS);
  const rows = shown.map(({ label, precision, recall, f1, texts, predicted }) => [
    shorten(label),
    ...[precision, recall, f1].map(formatPercent),
    ...[texts, predicted].map(String),
  ]);
  return [
    '<h2>Labels</h2>',
    renderTable(['label', 'precision', 'recall', 'F1', 'texts', 'predicted'], rows),
    ...(shown.length < labels.length ? [`<p class="about">The ${shown.length} commonest of ${labels.length} labels.</p>`] : []),
  ];
}

/** @param {Metrics} metrics */
function renderConfusion({ labels, confusion, confusion_pairs: pairs }) {
  const names = labels.map(({ label }) => shorten(label));
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

/** @param {Metrics} metrics */
function renderCalibration(metrics) {
  const { bins } = metrics.calibration;
  return [
    '<h2>Calibration</h2>',
    `<p>On these texts: ${escapeHtml(formatCalibration(metrics))}. The confidence is the probability of the label that was chosen; a calibrated classifier is right for 80 % of the texts of which it is 80 % sure.</p>`,
    '<p class="key">over the confidence: <b class="blue">accuracy</b> · <b class="amber">its distance from the mean confidence</b> · dashed: both equal</p>',
    renderReliability(bins),
    '<p class="key">texts over the confidence: <b class="blue">right</b> · <b class="amber">wrong</b></p>',
    renderHistogram(bins),
  ];
}

/** @param {Metrics} metrics */
function renderThresholds({ thresholds }) {
  if (thresholds === undefined) return [];
  const { label, best, points } = thresholds;
  const curveOf = (/** @type {'precision' | 'recall' | 'f1'} */ figure, /** @type {'amber' | 'blue' | 'ink'} */ colour) => ({
    colour,
    points: points.map((point) => /** @type {[number, number | null]} */ ([point.threshold, point[figure]])),
  });
  const curves = [curveOf('precision', 'blue'), curveOf('recall', 'amber'), curveOf('f1', 'ink')];
  return [
    '<h2>Threshold</h2>',
    `<p>${escapeHtml(formatBestThreshold(thresholds))}. On these texts: a threshold that is chosen by them looks better here than elsewhere.</p>`,
    `<p class="key">of ${escapeHtml(JSON.stringify(label), MAX_LABEL_LENGTH)} over the threshold of its probability: <b class="blue">precision</b> · <b class="amber">recall</b> · <b class="ink">F1</b> · dashed: the highest F1</p>`,
    renderCurves('Precision, recall and F1 over the threshold', curves, { x: SHARES, y: SHARES, mark: best.threshold }),
  ];
}

/** @param {Metrics} metrics @param {WrongText[]} wrong @param {string} allWrong */
function renderWrongTexts({ texts, right }, wrong, allWrong) {
  if (texts === right) return ['<h2>Wrong texts</h2>', '<p>None.</p>'];
  const shown = wrong.slice(0, MAX_ROWS);
  const hasText = shown.some(({ text, sentence1 }) => (text ?? sentence1) !== undefined);
  const rows = shown.map(({ line, label, predicted, probability, text, sentence1, sentence2 }) => [
    String(line),
    shorten(label),
    shorten(predicted),
    formatPercent(probability),
    ...(hasText ? [/** @type {const} */ ({ text: joinTexts(text ?? sentence1, sentence2), kind: 'text' })] : []),
  ]);
  const head = [
    'line',
    'true',
    'predicted',
    'confidence',
    ...(hasText ? [/** @type {const} */ ({ text: 'text', kind: 'text' })] : []),
  ];
  return [
    '<h2>Wrong texts</h2>',
    `<p>${texts - right} of ${texts} texts are wrong; the ${shown.length === 1 ? 'most confident' : `${shown.length} most confident`} first. ${escapeHtml(allWrong)}</p>`,
    renderTable(head, rows),
  ];
}

/** @param {string | undefined} text @param {string | undefined} second */
function joinTexts(text = '', second) {
  const parts = second === undefined ? [text] : [text, second];
  return parts.map((part) => toPrintable(part, MAX_TEXT_LENGTH)).join(' ↔ ');
}

/** @param {string} label */
function shorten(label) {
  return toPrintable(label, MAX_LABEL_LENGTH);
}
