/**
 * Compares two tensors: first their shapes, then whether all values are finite, then
 * |got − expected| ≤ atol + rtol·|expected|. Python has the same rule in parity_tests/checks/compare.py.
 */

/**
 * @typedef {object} Comparison
 * @property {boolean} close whether all values are within the budget
 * @property {number | null} maxAbs the largest difference; null where nothing can be measured
 * @property {string} problem a message for people; empty if the tensors are close
 */

/**
 * @param {{shape: number[], data: Float32Array}} got
 * @param {{shape: number[], data: Float32Array | Int32Array}} expected
 * @param {{atol: number, rtol: number}} budget the allowed difference
 * @returns {Comparison}
 */
export function compareTensors(got, expected, budget) {
  const wrong = (/** @type {string} */ problem) => ({ close: false, maxAbs: null, problem });
  if (String(got.shape) !== String(expected.shape)) {
    return wrong(`got shape [${got.shape}], expected [${expected.shape}]`);
  }
  const missing = findBudgetProblem(budget);
  if (missing) return wrong(missing);
  if (got.data.length === 0) return wrong('there is nothing to compare');
  const { atol, rtol } = budget;
  let maxAbs = 0;
  let worst = -1;
  let excess = -Infinity;
  for (let i = 0; i < got.data.length; i += 1) {
    const difference = Math.abs(got.data[i] - expected.data[i]);
    if (!Number.isFinite(difference)) {
      return wrong(`got ${got.data[i]} at ${formatIndices(i, got.shape)}, expected ${expected.data[i]}`);
    }
    if (difference > maxAbs) maxAbs = difference;
    const over = difference - (atol + rtol * Math.abs(expected.data[i]));
    if (over > excess) [excess, worst] = [over, i];
  }
  if (excess <= 0) return { close: true, maxAbs, problem: '' };
  const problem =
    `got ${got.data[worst]} at ${formatIndices(worst, got.shape)}, expected ${expected.data[worst]} ` +
    `within ${formatBudget(budget)}`;
  return { close: false, maxAbs, problem };
}

/**
 * Checks a budget. A number that is missing or NaN would let everything pass, since no comparison
 * with it is true.
 *
 * @param {any} budget
 * @returns {string} a message; empty if the budget is valid
 */
export function findBudgetProblem(budget) {
  const bad = ['atol', 'rtol'].find((key) => !(Number.isFinite(budget?.[key]) && budget[key] >= 0));
  if (bad === undefined) return '';
  return `got ${bad} ${budget?.[bad]} in the budget, expected a finite number from 0 on`;
}

/** A budget as text, such as `0.001 + 0.01·|expected|`. @param {{atol: number, rtol: number}} budget */
export function formatBudget({ atol, rtol }) {
  return `${atol}${rtol > 0 ? ` + ${rtol}·|expected|` : ''}`;
}

/** The indices of an element as text, such as `[1,2]`. @param {number} index in the flat array @param {number[]} shape */
function formatIndices(index, shape) {
  const indices = [];
  for (const size of [...shape].reverse()) {
    indices.unshift(index % size);
    index = Math.floor(index / size);
  }
  return `[${indices}]`;
}
