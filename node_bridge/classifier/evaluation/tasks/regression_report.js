/** The figures of a regression as lines of a terminal and as sections of a page. */
import { toPrintable } from '../../../support/printable.js';
import { alignColumns } from '../../../support/text_table.js';
import { createAxis, renderScatter } from '../charts.js';
import { WRONG_TEXTS } from '../evaluation_files.js';
import { MAX_ROWS, renderTexts, shortenLabel } from '../evaluation_page.js';
import { escapeHtml, renderTable } from '../page.js';

/** More labels do not fit a terminal, or a page of pictures. */
const MAX_LABELS = 20;
/** With more points a picture would be large and no clearer: some are left out, at equal distances in the file. */
const MAX_POINTS = 2000;
const HEAD = ['label', 'MAE', 'RMSE', 'R²', 'Pearson', 'Spearman', 'mean', 'MAE of the mean'];

/**
 * @typedef {import('./regression.js').RegressionFigures} RegressionFigures
 * @typedef {import('./regression.js').NumberFigures} NumberFigures
 * @typedef {import('./regression.js').TextError} TextError
 */

/** @param {RegressionFigures} figures @param {TextError} worst the text with the largest error @returns {string[]} lines */
export function formatRegression({ texts, labels }, worst) {
  const shown = labels.slice(0, MAX_LABELS);
  const { line, error } = worst;
  return [
    '',
    ...alignColumns([HEAD, ...shown.map(listFigures)]),
    ...(shown.length < labels.length ? [`the first ${shown.length} of ${labels.length} labels (all with --json)`] : []),
    '',
    `${texts} texts; the largest error is ${formatNumber(error)} in line ${line}: ${describeNumbers(worst)}`,
  ];
}

/** @param {RegressionFigures} figures */
export function formatRegressionSummary({ labels }) {
  const [{ label, mae, rmse, pearson, spearman }] = labels;
  const name = labels.length === 1 ? '' : `${shortenLabel(label)}, the first of ${labels.length} labels: `;
  const [p, s] = [pearson, spearman].map(formatCorrelation);
  return `${name}mean absolute error ${formatNumber(mae)}, root of the mean squared error ${formatNumber(rmse)}, Pearson ${p}, Spearman ${s}`;
}

/** @param {RegressionFigures} figures */
export function describeBaseline({ labels }) {
  const [{ label, mean, baseline }] = labels;
  const name = labels.length === 1 ? '' : `${shortenLabel(label)}: `;
  return `${name}MAE ${formatNumber(baseline.mae)}, RMSE ${formatNumber(baseline.rmse)}, always ${formatNumber(mean)}: the mean of these texts, not of the training texts`;
}

/**
 * @param {RegressionFigures} figures
 * @param {{truths: Float64Array, values: Float64Array}[]} series of each label
 * @param {TextError[]} errors the largest first
 * @returns {string[]}
 */
export function renderRegression({ texts, labels }, series, errors) {
  const shown = labels.slice(0, MAX_LABELS);
  const every = Math.ceil(texts / MAX_POINTS);
  return [
    '<h2>Labels</h2>',
    renderTable(HEAD, shown.map(listFigures)),
    ...(shown.length < labels.length ? [`<p class="about">The first ${shown.length} of ${labels.length} labels.</p>`] : []),
    '<h2>True and predicted</h2>',
    `<p class="key">the model's number over the true one · dashed: both equal${every > 1 ? ` · one text of ${every} is shown` : ''}</p>`,
    ...shown.flatMap(({ label }, i) => [`<h3>${escapeHtml(shortenLabel(label))}</h3>`, renderSeries(label, series[i], every)]),
    '<h2>Largest errors</h2>',
    `<p>${escapeHtml(`The texts with the largest errors, at most 1,000, are in ${WRONG_TEXTS}.`)}</p>`,
    renderTexts(['line', 'true', 'predicted', 'error'], errors.slice(0, MAX_ROWS).map(listError)),
  ];
}

/** @param {string} label @param {{truths: Float64Array, values: Float64Array}} series @param {number} every which texts are shown */
function renderSeries(label, { truths, values }, every) {
  const both = [truths, values].map((numbers) => numbers.filter((_, i) => i % every === 0));
  const [least, most] = [Math.min, Math.max].map((pick) =>
    both.map((numbers) => numbers.reduce((a, b) => pick(a, b))).reduce((a, b) => pick(a, b)),
  );
  const points = Array.from(both[0], (truth, i) => /** @type {[number, number]} */ ([truth, both[1][i]]));
  return renderScatter(`${shortenLabel(label)}: predicted over true`, points, createAxis(least, most));
}

/** @param {NumberFigures} figures */
function listFigures({ label, mae, rmse, r2, pearson, spearman, mean, baseline }) {
  return [
    shortenLabel(label),
    ...[mae, rmse].map(formatNumber),
    ...[r2, pearson, spearman].map(formatCorrelation),
    ...[mean, baseline.mae].map(formatNumber),
  ];
}

/** @param {TextError} error */
function listError({ line, true_values: truths, values, error, ...text }) {
  return { ...text, cells: [String(line), listValues(truths), listValues(values), formatNumber(error)] };
}

/** @param {TextError} error */
function describeNumbers({ true_values: truths, values }) {
  return `true ${listValues(truths)}, predicted ${listValues(values)}`;
}

/** The numbers of some labels; of a single one without its name. @param {Record<string, number>} values */
function listValues(values) {
  const all = Object.entries(values);
  const parts = all
    .slice(0, MAX_LABELS)
    .map(([label, value]) => `${all.length === 1 ? '' : `${shortenLabel(label)} `}${formatNumber(value)}`);
  return toPrintable(`${parts.join(', ')}${all.length > MAX_LABELS ? ', …' : ''}`, 200);
}

/** @param {number} value */
function formatNumber(value) {
  return String(Number(value.toPrecision(4)));
}

/** @param {number | null} value null: there is none */
function formatCorrelation(value) {
  return value === null ? '–' : value.toFixed(3);
}
