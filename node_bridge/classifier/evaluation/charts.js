/**
 * Pictures of the HTML pages as SVG: curves, points, the reliability diagram, and the histogram of
 * confidences. A plotting library would be a dependency of everyone who installs this package.
 */
import { escapeHtml } from './page.js';

const WIDTH = 640;
const HEIGHT = 220;
const LEFT = 56;
const BOTTOM = 28;
const TOP = 12;
const RIGHT = 24;
/** With more points than this a curve has no dots. */
const MAX_DOTS = 40;

/**
 * @typedef {import('./calibration.js').Bin} Bin
 * @typedef {{low: number, high: number, ticks: {at: number, text: string}[]}} Axis
 * @typedef {'amber' | 'blue' | 'ink'} Colour
 * @typedef {{colour: Colour, points: [number, number | null][]}} Curve where there is no value, it is interrupted
 *
 * @typedef {object} Scale from values to places in the picture
 * @property {(value: number) => number} x
 * @property {(value: number) => number} y
 */

/**
 * @param {string} name what the picture shows, for those who do not see it
 * @param {Curve[]} curves
 * @param {{x: Axis, y: Axis, mark: number}} axes `mark`: where a dashed line stands
 */
export function renderCurves(name, curves, { x, y, mark }) {
  const scale = createScale(x, y);
  const lines = curves.flatMap(({ colour, points }) => {
    const parts = splitAtGaps(points).map((part) => part.map(([at, value]) => [place(scale.x(at)), place(scale.y(value))]));
    const dots = parts.flat().map(([cx, cy]) => `<circle class="${colour}" cx="${cx}" cy="${cy}" r="3"/>`);
    const drawn = parts.map((part) => `<polyline class="${colour}" points="${part.join(' ')}"/>`);
    return [...drawn, ...(points.length > MAX_DOTS ? [] : dots)];
  });
  return renderPicture(name, { x, y }, [renderLine('mark', [scale.x(mark), TOP], [scale.x(mark), HEIGHT - BOTTOM]), ...lines]);
}

/**
 * The reliability diagram: for each bin of confidences the accuracy, and its distance from the mean confidence.
 *
 * @param {string} name what the picture shows
 * @param {Bin[]} bins
 * @param {(bin: Bin) => string} describe what a bar says when it is pointed at
 */
export function renderReliability(name, bins, describe) {
  const axes = { x: SHARES, y: SHARES };
  const { x, y } = createScale(axes.x, axes.y);
  const bars = bins.flatMap((bin) => {
    const { from, to, confidence, accuracy } = bin;
    if (confidence === null || accuracy === null) return [];
    const [left, width] = [x(from) + 1, x(to) - x(from) - 2];
    const top = Math.min(y(accuracy), y(confidence));
    return [
      renderBar('blue', { left, width, top: y(accuracy), height: y(0) - y(accuracy) }, describe(bin)),
      renderBar('gap', { left, width, top, height: Math.abs(y(accuracy) - y(confidence)) }, describe(bin)),
    ];
  });
  const diagonal = renderLine('mark', [x(0), y(0)], [x(1), y(1)]);
  return renderPicture(name, axes, [...bars, diagonal]);
}

/**
 * How much is in each bin of confidences: what is right below, the rest above.
 *
 * @param {string} name what the picture shows
 * @param {Bin[]} bins
 * @param {(bin: Bin) => string} describe what a bar says when it is pointed at
 */
export function renderHistogram(name, bins, describe) {
  const most = bins.reduce((largest, { count }) => Math.max(largest, count), 0);
  const axes = { x: SHARES, y: createAxis(0, most, { step: 1 }) };
  const { x, y } = createScale(axes.x, axes.y);
  const bars = bins.flatMap((bin) => {
    const { from, to, count, right } = bin;
    const [left, width] = [x(from) + 1, x(to) - x(from) - 2];
    return [
      renderBar('blue', { left, width, top: y(right), height: y(0) - y(right) }, describe(bin)),
      renderBar('amber', { left, width, top: y(count), height: y(right) - y(count) }, describe(bin)),
    ];
  });
  return renderPicture(name, axes, bars);
}

/**
 * Points, and a dashed line where both coordinates are equal.
 *
 * @param {string} name what the picture shows
 * @param {[number, number][]} points
 * @param {Axis} axis of both coordinates
 */
export function renderScatter(name, points, axis) {
  const { x, y } = createScale(axis, axis);
  const dots = points.map(([at, value]) => `<circle class="point" cx="${place(x(at))}" cy="${place(y(value))}" r="2.5"/>`);
  const diagonal = renderLine('mark', [x(axis.low), y(axis.low)], [x(axis.high), y(axis.high)]);
  return renderPicture(name, { x: axis, y: axis }, [diagonal, ...dots]);
}

/**
 * An axis with round ticks around all values: steps of 1, 2 or 5 times a power of ten.
 *
 * @param {number} least
 * @param {number} most
 * @param {{step?: number}} [smallest] `step`: no step is smaller
 * @returns {Axis}
 */
export function createAxis(least, most, { step: smallest = 0 } = {}) {
  const span = most - least || Math.abs(most) || 1;
  const power = 10 ** Math.floor(Math.log10(span / 4));
  const fitting = /** @type {number} */ ([1, 2, 5, 10].map((times) => times * power).find((size) => span / size <= 5));
  const step = Math.max(fitting, smallest);
  const first = Math.floor(least / step);
  const end = Math.max(Math.ceil(most / step), first + 1);
  const ticks = Array.from({ length: end - first + 1 }, (_, i) => (first + i) * step);
  return { low: first * step, high: end * step, ticks: ticks.map((at) => ({ at, text: String(Number(at.toPrecision(6))) })) };
}

/** From 0 to 100 %. @type {Axis} */
export const SHARES = {
  low: 0,
  high: 1,
  ticks: [0, 0.2, 0.4, 0.6, 0.8, 1].map((at) => ({ at, text: `${Math.round(100 * at)} %` })),
};

/** @param {Axis} x @param {Axis} y @returns {Scale} */
function createScale(x, y) {
  return {
    x: (value) => LEFT + ((value - x.low) / (x.high - x.low)) * (WIDTH - LEFT - RIGHT),
    y: (value) => TOP + ((y.high - value) / (y.high - y.low)) * (HEIGHT - TOP - BOTTOM),
  };
}

/** The parts of a curve between missing values. @param {[number, number | null][]} points */
function splitAtGaps(points) {
  /** @type {[number, number][][]} */
  const parts = [[]];
  for (const [at, value] of points) {
    if (value === null) parts.push([]);
    else parts[parts.length - 1].push([at, value]);
  }
  return parts.filter((part) => part.length > 0);
}

/** @param {string} name @param {{x: Axis, y: Axis}} axes @param {string[]} content */
function renderPicture(name, { x, y }, content) {
  const scale = createScale(x, y);
  const rules = y.ticks.map(
    ({ at, text }) =>
      renderLine('rule', [LEFT, scale.y(at)], [WIDTH - RIGHT, scale.y(at)]) +
      `<text x="${LEFT - 8}" y="${place(scale.y(at) + 4)}" text-anchor="end">${text}</text>`,
  );
  const below = x.ticks.map(
    ({ at, text }) => `<text x="${place(scale.x(at))}" y="${HEIGHT - 8}" text-anchor="middle">${text}</text>`,
  );
  const parts = [...rules, ...content, ...below].join('\n');
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(name)}">\n${parts}\n</svg>`;
}

/** @param {'rule' | 'mark'} kind @param {[number, number]} from @param {[number, number]} to */
function renderLine(kind, [x1, y1], [x2, y2]) {
  return `<line class="${kind}" x1="${place(x1)}" x2="${place(x2)}" y1="${place(y1)}" y2="${place(y2)}"/>`;
}

/** @param {Colour | 'gap'} kind @param {{left: number, top: number, width: number, height: number}} box @param {string} title */
function renderBar(kind, { left, top, width, height }, title) {
  if (height === 0) return '';
  const box = `x="${place(left)}" y="${place(top)}" width="${place(width)}" height="${place(height)}"`;
  return `<rect class="${kind}" ${box}><title>${escapeHtml(title)}</title></rect>`;
}

/** @param {number} coordinate in the picture */
function place(coordinate) {
  return coordinate.toFixed(1);
}
