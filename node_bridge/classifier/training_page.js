/**
 * Renders learning curves and the confusion matrix as one HTML page without other files. The curves are
 * SVG polylines: a plotting library would be a dependency of everyone who installs this package.
 */
import { toPrintable } from '../support/printable.js';
import { computeLabelF1 } from './evaluation.js';

const WIDTH = 640;
const HEIGHT = 220;
const LEFT = 48;
const BOTTOM = 28;
const TOP = 12;
const RIGHT = 12;
/** A table of more labels is not readable. */
const MAX_LABELS = 40;

/**
 * @typedef {import('./training.js').EpochResult} EpochResult
 * @typedef {{name: string, figureOf: (epoch: EpochResult) => number, kind: 'train' | 'dev'}} Curve
 */

const STYLE = `
:root { color-scheme: light dark; --ink: #1c1f23; --soft: #6a7280; --rule: #d8dce2; --page: #ffffff; --train: #b45309; --dev: #1d4ed8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa3af; --rule: #3a404a; --page: #15181c; --train: #f59e0b; --dev: #60a5fa; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 2rem auto; padding: 0 1rem; max-width: 700px; }
svg { width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--soft); }
.rule { stroke: var(--rule); } .best { stroke: var(--soft); stroke-dasharray: 4 3; }
.train { stroke: var(--train); } .dev { stroke: var(--dev); } polyline { fill: none; stroke-width: 2; } circle { fill: var(--page); stroke-width: 2; }
.key b.train { color: var(--train); } .key b.dev { color: var(--dev); }
div.wide { overflow-x: auto; } table { border-collapse: collapse; } th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--rule); }
th:first-child { text-align: left; } td.right { font-weight: 600; } caption { text-align: left; color: var(--soft); }
`;

/**
 * @param {object} result
 * @param {string} result.name of the bundle
 * @param {string[]} result.labels
 * @param {EpochResult[]} result.history
 * @param {number} result.bestEpoch
 * @param {string} result.bestBy
 * @param {import('./evaluation.js').Evaluation} result.evaluation of the best epoch on the dev texts
 * @param {string} result.accuracy a line about the accuracy
 * @param {string[]} result.warnings about the data
 * @returns {string}
 */
export function renderTrainingPage({ name, labels, history, bestEpoch, bestBy, evaluation, accuracy, warnings }) {
  const { macroF1, loss, confusion } = evaluation;
  /** @type {Record<string, Curve[]>} */
  const charts = {
    Loss: [createCurve('train', (epoch) => epoch.loss), createCurve('dev', (epoch) => epoch.devLoss)],
    Accuracy: [createCurve('train', (epoch) => epoch.accuracy), createCurve('dev', (epoch) => epoch.devAccuracy)],
  };
  const drawn = Object.entries(charts).map(([title, curves]) => `<h2>${title}</h2>\n${renderChart(curves, history, bestEpoch)}`);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Training of ${escapeHtml(name)}</title>
<style>${STYLE}</style>
<h1>Training of ${escapeHtml(name)}</h1>
<p>Best of ${history.length} epochs by ${bestBy}: ${bestEpoch}. On the dev texts: ${escapeHtml(accuracy)}, macro-F1 ${formatPercent(macroF1)}, loss ${loss.toFixed(4)}.</p>
<h2>About the data</h2>
<ul>
${warnings.map((line) => `<li>${escapeHtml(line)}</li>`).join('\n')}
</ul>
<p class="key"><b class="train">training texts</b>, each as it was when its batch came · <b class="dev">dev texts</b>, after the epoch · dashed: the best epoch</p>
${drawn.join('\n')}
<h2>Confusion</h2>
${labels.length > MAX_LABELS ? `<p>${labels.length} labels are too many for a table.</p>` : renderConfusionTable(labels, confusion)}
</html>
`;
}

/** @param {'train' | 'dev'} kind @param {(epoch: EpochResult) => number} figureOf @returns {Curve} */
function createCurve(kind, figureOf) {
  return { name: kind, kind, figureOf };
}

/** @param {Curve[]} curves @param {EpochResult[]} history @param {number} bestEpoch */
function renderChart(curves, history, bestEpoch) {
  const values = curves.flatMap(({ figureOf }) => history.map(figureOf));
  const lowest = values.reduce((least, value) => Math.min(least, value), Infinity);
  const highest = values.reduce((most, value) => Math.max(most, value), -Infinity);
  const { low, high, ticks } = computeAxis(lowest, highest);
  const last = Math.max(history.length, 2);
  const x = (/** @type {number} */ epoch) => LEFT + ((epoch - 1) / (last - 1)) * (WIDTH - LEFT - RIGHT);
  const y = (/** @type {number} */ value) => TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const rules = ticks.map(
    (tick) =>
      `<line class="rule" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${formatCoordinate(y(tick))}" y2="${formatCoordinate(y(tick))}"/>` +
      `<text x="${LEFT - 8}" y="${formatCoordinate(y(tick) + 4)}" text-anchor="end">${Number(tick.toPrecision(6))}</text>`,
  );
  const every = Math.ceil(history.length / 12);
  const epochs = history
    .filter(({ epoch }) => (epoch - 1) % every === 0)
    .map(({ epoch }) => `<text x="${formatCoordinate(x(epoch))}" y="${HEIGHT - 8}" text-anchor="middle">${epoch}</text>`);
  const lines = curves.map(({ kind, figureOf }) => {
    const points = history.map((epoch) => [formatCoordinate(x(epoch.epoch)), formatCoordinate(y(figureOf(epoch)))]);
    const dots = points.map(([cx, cy]) => `<circle class="${kind}" cx="${cx}" cy="${cy}" r="3"/>`).join('');
    return `<polyline class="${kind}" points="${points.join(' ')}"/>${history.length > 40 ? '' : dots}`;
  });
  const best = `<line class="best" x1="${formatCoordinate(x(bestEpoch))}" x2="${formatCoordinate(x(bestEpoch))}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>`;
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">\n${[...rules, best, ...epochs, ...lines].join('\n')}\n</svg>`;
}

/**
 * Computes an axis with round ticks around all values: steps of 1, 2 or 5 times a power of ten.
 *
 * @param {number} least
 * @param {number} most
 */
function computeAxis(least, most) {
  const span = most - least || Math.abs(most) || 1;
  const power = 10 ** Math.floor(Math.log10(span / 4));
  const step = /** @type {number} */ ([1, 2, 5, 10].map((times) => times * power).find((size) => span / size <= 5));
  const first = Math.floor(least / step);
  const end = Math.max(Math.ceil(most / step), first + 1);
  const ticks = Array.from({ length: end - first + 1 }, (_, i) => (first + i) * step);
  return { low: first * step, high: end * step, ticks };
}

/** @param {string[]} labels @param {import('./evaluation.js').ConfusionCounts} confusion */
function renderConfusionTable(labels, confusion) {
  const f1 = computeLabelF1(confusion);
  const head = ['true \\ predicted', ...labels, 'F1'].map((cell) => `<th>${escapeHtml(cell)}</th>`).join('');
  const rows = (confusion.matrix ?? []).map((row, i) => {
    const cells = row.map((count, j) => `<td${i === j ? ' class="right"' : ''}>${count}</td>`).join('');
    const score = f1[i];
    return `<tr><th>${escapeHtml(labels[i])}</th>${cells}<td>${score === undefined ? '–' : formatPercent(score)}</td></tr>`;
  });
  return `<div class="wide"><table>\n<tr>${head}</tr>\n${rows.join('\n')}\n</table></div>`;
}

/** @param {number} coordinate in the image */
function formatCoordinate(coordinate) {
  return coordinate.toFixed(1);
}

/** @param {number} share */
function formatPercent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/** A text as safe HTML. @param {string} text */
function escapeHtml(text) {
  return toPrintable(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
