/** How two series of numbers are related. */
import { divide } from '../calibration.js';

/** @typedef {Float64Array} Numbers */

/** @param {Numbers} numbers not empty */
export function mean(numbers) {
  return numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
}

/**
 * Pearson's correlation, cov(x, y) / (σx · σy).
 *
 * @param {Numbers} x
 * @param {Numbers} y as many
 * @returns {number | null} null if all numbers of one are equal
 */
export function correlatePearson(x, y) {
  const [middleX, middleY] = [mean(x), mean(y)];
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; i += 1) {
    const [dx, dy] = [x[i] - middleX, y[i] - middleY];
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  }
  const correlation = divide(xy, Math.sqrt(xx) * Math.sqrt(yy));
  return correlation === null ? null : Math.min(1, Math.max(-1, correlation)); // rounding
}

/**
 * Spearman's correlation: Pearson's of the ranks.
 *
 * @param {Numbers} x
 * @param {Numbers} y as many
 * @returns {number | null} null if all numbers of one are equal
 */
export function correlateSpearman(x, y) {
  return correlatePearson(rank(x), rank(y));
}

/** The rank of each number, from 1; equal ones share the mean of their ranks. @param {Numbers} numbers @returns {Numbers} */
function rank(numbers) {
  const order = Uint32Array.from(numbers.keys()).sort((a, b) => numbers[a] - numbers[b]);
  const ranks = new Float64Array(numbers.length);
  for (let from = 0; from < order.length; ) {
    let to = from + 1;
    while (to < order.length && numbers[order[to]] === numbers[order[from]]) to += 1;
    for (let i = from; i < to; i += 1) ranks[order[i]] = (from + 1 + to) / 2;
    from = to;
  }
  return ranks;
}
