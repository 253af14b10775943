/** Who was taken for whom: counts, and a table that keeps its columns with Chinese labels. */

/** More columns than this do not fit a terminal. */
const WIDEST = 12;

/**
 * @param {ArrayLike<number>} targets the true label of each text, as a place among the labels
 * @param {ArrayLike<number>} predictions the label it was given
 * @param {number} count of labels
 * @returns {number[][]} `matrix[true][predicted]`
 */
export function confusionMatrix(targets, predictions, count) {
  const matrix = Array.from({ length: count }, () => new Array(count).fill(0));
  for (let i = 0; i < targets.length; i += 1) matrix[targets[i]][predictions[i]] += 1;
  return matrix;
}

/**
 * @param {number[][]} matrix
 * @param {string[]} labels
 * @returns {string} lines, the last one ended too
 */
export function formatConfusion(matrix, labels) {
  if (labels.length > WIDEST) return formatWorst(matrix, labels);
  const cells = [
    ['true \\ predicted', ...labels],
    ...matrix.map((row, i) => [labels[i], ...row.map(String)]),
  ];
  const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => displayWidth(row[column]))));
  return cells.map((row) => `${row.map((cell, i) => pad(cell, widths[i], i === 0)).join('  ')}\n`).join('');
}

/** The commonest confusions, for many labels. @param {number[][]} matrix @param {string[]} labels */
function formatWorst(matrix, labels) {
  const wrong = matrix
    .flatMap((row, i) => row.map((count, j) => ({ count, i, j })))
    .filter(({ count, i, j }) => i !== j && count > 0)
    .sort((a, b) => b.count - a.count)
    .slice(0, WIDEST);
  const title = `${labels.length} labels; the commonest confusions (all of them with --json):\n`;
  return title + wrong.map(({ count, i, j }) => `${count}  ${labels[i]} taken for ${labels[j]}\n`).join('');
}

/** @param {string} cell @param {number} width @param {boolean} left */
function pad(cell, width, left) {
  const spaces = ' '.repeat(width - displayWidth(cell));
  return left ? cell + spaces : spaces + cell;
}

/** East Asian wide and full-width characters, and emoji, take two columns. */
const WIDE =
  /[\u1100-\u115F\u2E80-\u303E\u3041-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF01-\uFF60\uFFE0-\uFFE6\u{1F300}-\u{1FAFF}\u{20000}-\u{3FFFD}]/u;

/**
 * Columns that a terminal gives a text.
 *
 * @param {string} text
 */
export function displayWidth(text) {
  let width = 0;
  for (const character of text) width += /\p{M}/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}
