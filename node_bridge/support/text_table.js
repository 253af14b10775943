/** Tables of a terminal: columns stay aligned with Chinese words in them, which take two columns a character. */

/** East Asian wide and full-width characters, and emoji, take two columns. */
const WIDE =
  /[\u1100-\u115F\u2E80-\u303E\u3041-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF01-\uFF60\uFFE0-\uFFE6\u{1F300}-\u{1FAFF}\u{20000}-\u{3FFFD}]/u;

/**
 * The lines of a table: the first column begins at the left, the others end at the right.
 *
 * @param {string[][]} rows of equal length
 * @returns {string[]}
 */
export function alignColumns(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => displayWidth(row[column]))));
  return rows.map((row) => row.map((cell, i) => padCell(cell, widths[i], i === 0)).join('  '));
}

/** @param {string} cell @param {number} width @param {boolean} left */
function padCell(cell, width, left) {
  const spaces = ' '.repeat(width - displayWidth(cell));
  return left ? cell + spaces : spaces + cell;
}

/**
 * How many columns a text has in a terminal.
 *
 * @param {string} text
 */
export function displayWidth(text) {
  let width = 0;
  for (const character of text) width += /\p{M}/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}
