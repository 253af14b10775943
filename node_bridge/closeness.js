/**
 * The one rule of closeness in Node, as parity_tests/compare.py has it in Python:
 * |got − expected| ≤ atol + rtol·|expected|, and before that shape and finiteness.
 */

/**
 * @typedef {object} Closeness
 * @property {boolean} close
 * @property {number | null} maxAbs the largest difference; null where nothing can be measured
 * @property {string} said what is wrong, in words; empty where nothing is
 */

/**
 * @param {{shape: number[], data: Float32Array}} got
 * @param {{shape: number[], data: Float32Array | Int32Array}} expected
 * @param {{atol: number, rtol: number}} budget
 * @returns {Closeness}
 */
export function closeness(got, expected, { atol, rtol }) {
  const wrong = (/** @type {string} */ said) => ({ close: false, maxAbs: null, said });
  if (String(got.shape) !== String(expected.shape)) {
    return wrong(`got shape [${got.shape}], expected [${expected.shape}]`);
  }
  if (got.data.length === 0) return wrong('there is nothing to compare');
  let maxAbs = 0;
  let worst = -1;
  let excess = -Infinity;
  for (let i = 0; i < got.data.length; i += 1) {
    const difference = Math.abs(got.data[i] - expected.data[i]);
    if (!Number.isFinite(difference)) {
      return wrong(`got ${got.data[i]} at ${place(i, got.shape)}, expected ${expected.data[i]}`);
    }
    if (difference > maxAbs) maxAbs = difference;
    const over = difference - (atol + rtol * Math.abs(expected.data[i]));
    if (over > excess) [excess, worst] = [over, i];
  }
  if (excess <= 0) return { close: true, maxAbs, said: '' };
  const said =
    `got ${got.data[worst]} at ${place(worst, got.shape)}, expected ${expected.data[worst]} ` +
    `within ${atol}${rtol > 0 ? ` + ${rtol}·|expected|` : ''}`;
  return { close: false, maxAbs, said };
}

/** An element's indices. @param {number} index @param {number[]} shape */
function place(index, shape) {
  const indices = [];
  for (const size of [...shape].reverse()) {
    indices.unshift(index % size);
    index = Math.floor(index / size);
  }
  return `[${indices}]`;
}
