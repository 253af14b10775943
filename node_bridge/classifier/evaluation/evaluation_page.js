/** The page of evaluate.js, and the sections that the pages of several tasks have. */
import { toPrintable } from '../../support/printable.js';
import { renderCurves, renderHistogram, renderReliability, SHARES } from './charts.js';
import { formatPercent, pickCommonest } from './evaluation_messages.js';
import { escapeHtml, renderPage, renderTable } from './page.js';

/** The most rows of a table: labels, commonest confusions, wrong texts. */
export const MAX_ROWS = 100;
const MAX_LABEL_LENGTH = 60;
const MAX_TEXT_LENGTH = 400;

/**
 * @typedef {import('./page.js').Cell} Cell
 * @typedef {import('./calibration.js').Bin} Bin
 * @typedef {import('../../data/text.js').NamedText} NamedText
 */

/**
 * @param {object} evaluation
 * @param {string} evaluation.title
 * @param {boolean | null} evaluation.trained whether the weights were trained; null: unknown
 * @param {string} evaluation.summary the most important figures, as text
 * @param {[string, string][]} evaluation.facts what was evaluated
 * @param {string[]} evaluation.sections as HTML
 * @returns {string}
 */
export function renderEvaluationPage({ title, trained, summary, facts, sections }) {
  return renderPage(title, [
    ...renderWeightsWarning(trained),
    `<p>On these texts: ${escapeHtml(summary)}.</p>`,
    renderFacts(facts),
    ...sections,
  ]);
}

/** A warning where the weights of the encoder were never trained. @param {boolean | null} trained null: unknown */
export function renderWeightsWarning(trained) {
  return trained === false ? [`<p class="warning">${UNTRAINED}</p>`] : [];
}

const UNTRAINED =
  '<b>The weights of the encoder are untrained</b>: they were drawn by a seed. The figures show that everything works, not how good a trained model is.';

/** @param {[string, string][]} facts name and value */
export function renderFacts(facts) {
  return renderTable(
    [],
    facts.map(([name, text]) => [name, { text, kind: 'text' }]),
  );
}

/**
 * The figures of each label; of many labels the commonest.
 *
 * @param {import('./metrics.js').LabelFigures[]} labels
 * @param {{label: string, texts: string}} [names] of the columns
 * @returns {string[]}
 */
export function renderLabels(labels, names = { label: 'label', texts: 'texts' }) {
  const shown = pickCommonest(labels, MAX_ROWS);
  const rows = shown.map(({ label, precision, recall, f1, texts, predicted }) => [
    shortenLabel(label),
    ...[precision, recall, f1].map(formatPercent),
    ...[texts, predicted].map(String),
  ]);
  return [
    '<h2>Labels</h2>',
    renderTable([names.label, 'precision', 'recall', 'F1', names.texts, 'predicted'], rows),
    ...(shown.length < labels.length ? [`<p class="about">The ${shown.length} commonest of ${labels.length} labels.</p>`] : []),
  ];
}

/**
 * The reliability diagram and the histogram of confidences.
 *
 * @param {Bin[]} bins
 * @param {object} words
 * @param {string} words.about what the confidence is, and how large the error is; as text
 * @param {string} words.counted what is in the bins, such as `texts`
 * @param {string} [words.share] the name of the share that is right
 * @param {string} [words.right] what is said of those that are right
 * @param {string} [words.wrong] and of the others
 * @returns {string[]}
 */
export function renderCalibration(bins, { about, counted, share = 'accuracy', right = 'right', wrong = 'wrong' }) {
  const name = `${share[0].toUpperCase()}${share.slice(1)} in each bin of confidences`;
  const describeShare = (/** @type {Bin} */ { confidence, accuracy, count, right: some }) =>
    `confidence ${formatPercent(confidence)}, ${share} ${formatPercent(accuracy)} (${some} of ${count})`;
  const describeCount = (/** @type {Bin} */ { from, to, count, right: some }) =>
    `${formatPercent(from)} to ${formatPercent(to)}: ${count} ${counted}, ${some} ${right}`;
  return [
    '<h2>Calibration</h2>',
    `<p>On these texts: ${escapeHtml(about)}</p>`,
    `<p class="key">over the confidence: <b class="blue">${share}</b> · <b class="amber">its distance from the mean confidence</b> · dashed: both equal</p>`,
    renderReliability(name, bins, describeShare),
    `<p class="key">${counted} over the confidence: <b class="blue">${right}</b> · <b class="amber">${wrong}</b></p>`,
    renderHistogram(`How many ${counted} have which confidence`, bins, describeCount),
  ];
}

/**
 * Precision, recall and F1 over the threshold.
 *
 * @param {Omit<import('./metrics.js').ThresholdCurve, 'label'>} curve
 * @param {{about: string, of: string}} words `about` the best threshold; `of` what is predicted; as text
 * @returns {string[]}
 */
export function renderThresholds({ best, points }, { about, of }) {
  const curveOf = (/** @type {'precision' | 'recall' | 'f1'} */ figure, /** @type {'amber' | 'blue' | 'ink'} */ colour) => ({
    colour,
    points: points.map((point) => /** @type {[number, number | null]} */ ([point.threshold, point[figure]])),
  });
  const curves = [curveOf('precision', 'blue'), curveOf('recall', 'amber'), curveOf('f1', 'ink')];
  return [
    '<h2>Threshold</h2>',
    `<p>${escapeHtml(about)}. On these texts: a threshold that is chosen by them looks better here than elsewhere.</p>`,
    `<p class="key">of ${escapeHtml(of, MAX_LABEL_LENGTH)} over the threshold of its probability: <b class="blue">precision</b> · <b class="amber">recall</b> · <b class="ink">F1</b> · dashed: the highest F1</p>`,
    renderCurves('Precision, recall and F1 over the threshold', curves, { x: SHARES, y: SHARES, mark: best.threshold }),
  ];
}

/**
 * A table of texts, with the texts in the last column if there are any.
 *
 * @param {string[]} head the names of the other columns
 * @param {(NamedText & {cells: (string | Cell)[]})[]} rows
 */
export function renderTexts(head, rows) {
  const hasText = rows.some(({ text, sentence1 }) => (text ?? sentence1) !== undefined);
  const textOf = (/** @type {NamedText} */ { text, sentence1, sentence2 }) => joinTexts(text ?? sentence1, sentence2);
  return renderTable(
    hasText ? [...head, { text: 'text', kind: 'text' }] : head,
    rows.map((row) => (hasText ? [...row.cells, { text: textOf(row), kind: 'text' }] : row.cells)),
  );
}

/** @param {string | undefined} text @param {string | undefined} second */
function joinTexts(text = '', second) {
  const parts = second === undefined ? [text] : [text, second];
  return parts.map((part) => toPrintable(part, MAX_TEXT_LENGTH)).join(' ↔ ');
}

/** @param {string} label */
export function shortenLabel(label) {
  return toPrintable(label, MAX_LABEL_LENGTH);
}
