/** The figures of labelled tokens as lines of a terminal and as sections of a page. */
import { toPrintable } from '../../../support/printable.js';
import { WRONG_TEXTS } from '../evaluation_files.js';
import { formatLabels, formatPercent } from '../evaluation_messages.js';
import { MAX_ROWS, renderCalibration, renderLabels, renderTexts, shortenLabel } from '../evaluation_page.js';
import { escapeHtml } from '../page.js';

/** The columns of the table of labels. */
const NAMES = { label: 'type', texts: 'entities' };
/** How many entities of a text are named, and how much of one. */
const MAX_ENTITIES = 8;
const MAX_ENTITY_LENGTH = 40;

/**
 * @typedef {import('./token_labels.js').TokenFigures} TokenFigures
 * @typedef {import('./token_labels.js').WrongEntities} WrongEntities
 */

/**
 * @param {TokenFigures} figures
 * @param {WrongEntities | undefined} worst the text with the most wrong entities
 * @returns {string[]} lines
 */
export function formatTokenLabels(figures, worst) {
  const { texts, right, tokens_without_answer: without } = figures;
  const example =
    worst === undefined ? '' : `; the text with the most wrong entities begins in line ${worst.line}: ${describeWrong(worst)}`;
  return [
    '',
    ...formatLabels(toLabelFigures(figures), NAMES),
    '',
    formatEntities(figures),
    formatTokens(figures),
    formatEntityCalibration(figures),
    ...(without === 0 ? [] : [formatWithoutAnswer(figures)]),
    `${texts - right} of ${texts} texts are wrong${example}`,
  ];
}

/** @param {TokenFigures} figures */
export function formatTokenSummary(figures) {
  return `${formatEntities(figures)}; ${formatTokens(figures)}`;
}

/** @param {TokenFigures} figures @param {WrongEntities[]} wrong @returns {string[]} */
export function renderTokenLabels(figures, wrong) {
  const { calibration, tokens_without_answer: without } = figures;
  return [
    ...renderLabels(toLabelFigures(figures), NAMES),
    '<p class="about">An entity is right if its place and its type are, and counts as in seqeval’s strict mode.</p>',
    ...(without === 0 ? [] : [`<p class="warning">${escapeHtml(formatWithoutAnswer(figures))}</p>`]),
    ...renderCalibration(calibration.bins, {
      about: `${formatEntityCalibration(figures)}. The confidence of an entity is the mean of its characters’ probabilities; of the entities of which a calibrated classifier is 80 % sure 80 % are right.`,
      counted: 'predicted entities',
    }),
    ...renderWrong(figures, wrong),
  ];
}

/** @param {TokenFigures} figures */
function toLabelFigures({ labels }) {
  return labels.map(({ entities, label, ...figures }) => ({
    ...figures,
    texts: entities,
    label: label === '' ? '(no type)' : label,
  }));
}

/** @param {TokenFigures} figures */
function formatEntities({ micro_f1: micro, micro_precision: precision, micro_recall: recall, macro_f1: macro }) {
  return (
    `entities: micro-F1 ${formatPercent(micro)} (precision ${formatPercent(precision)}, recall ${formatPercent(recall)}); ` +
    `macro-F1 ${formatPercent(macro)}`
  );
}

/** @param {TokenFigures} figures */
function formatTokens({ tokens, token_accuracy: accuracy, outside_share: outside }) {
  return `token accuracy ${formatPercent(accuracy)} of ${tokens} tokens (baseline ${formatPercent(outside)}, always "O")`;
}

/** @param {TokenFigures} figures */
function formatEntityCalibration({
  micro_precision: precision,
  calibration: { expected_calibration_error: error, mean_confidence: mean, bins },
}) {
  return (
    `expected calibration error ${formatPercent(error)} (${bins.length} bins): ` +
    `the mean confidence of the predicted entities is ${formatPercent(mean)}, their precision ${formatPercent(precision)}`
  );
}

/** @param {TokenFigures} figures */
function formatWithoutAnswer({ tokens, tokens_without_answer: without }) {
  return `${without} of ${tokens} tokens have no answer and count as "O": the text is longer than the model, or the tokenizer leaves them out`;
}

/** @param {TokenFigures} figures @param {WrongEntities[]} wrong */
function renderWrong({ texts, right }, wrong) {
  if (wrong.length === 0) return ['<h2>Wrong texts</h2>', '<p>None.</p>'];
  const rows = wrong.slice(0, MAX_ROWS).map(({ line, text, missing, extra }) => ({
    text,
    cells: [String(line), ...[missing, extra].map((places) => (places.length === 0 ? '–' : list(places)))],
  }));
  return [
    '<h2>Wrong texts</h2>',
    `<p>${texts - right} of ${texts} texts are wrong; those with the most wrong entities first. ${escapeHtml(`All of them are in ${WRONG_TEXTS}.`)}</p>`,
    renderTexts(['line', 'missing', 'extra'], rows),
  ];
}

/** @param {WrongEntities} wrong */
function describeWrong({ missing, extra }) {
  const parts = [
    ...(missing.length > 0 ? [`missing ${list(missing)}`] : []),
    ...(extra.length > 0 ? [`extra ${list(extra)}`] : []),
  ];
  return parts.join('; ');
}

/** @param {import('./token_labels.js').Place[]} places */
function list(places) {
  const shown = places
    .slice(0, MAX_ENTITIES)
    .map(({ label, text }) => `${shortenLabel(label)} ${toPrintable(text, MAX_ENTITY_LENGTH)}`);
  return `${shown.join(', ')}${places.length > MAX_ENTITIES ? `, … (${places.length})` : ''}`;
}
