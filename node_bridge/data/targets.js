/**
 * Reads what is true of a text where it is not one label: several labels, or numbers. In JSON they are a
 * list, in a table one cell with a separator.
 */
import { toOneLine, UserError } from '../support/errors.js';
import { isObject } from '../support/json.js';
import { listFirst } from './dataset.js';
import { normalizeLabel } from './examples.js';

/** The largest number: the squares of larger ones, and their sums, would not be finite. */
const MAX_NUMBER = 1e100;
/** Between the labels of a cell. */
export const DEFAULT_SEPARATOR = '|';
/** The most characters of a value that a message quotes. */
const MAX_QUOTED_LENGTH = 60;
/** A number as programs write it; `Number` would take `0x10` and an empty cell too. */
const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

/**
 * Reads the labels of a text.
 *
 * @param {unknown} value a list, or a string; an empty one has no label
 * @param {Map<string, number>} indices of the labels that are known, by label
 * @param {string} separator between the labels of a string
 * @returns {number[]} their indices in order, each once
 * @throws {UserError} it is neither, or a label is not known
 *
 * @example readLabelSet('体育|财经', new Map([['体育', 0], ['财经', 1]]), '|') // [0, 1]
 */
export function readLabelSet(value, indices, separator) {
  const found = new Set(splitLabels(value, separator).map((label) => findLabel(label, indices, separator)));
  return [...found].sort((a, b) => a - b);
}

/** @param {unknown} value @param {string} separator @returns {string[]} */
function splitLabels(value, separator) {
  if (Number.isSafeInteger(value)) return [String(value)];
  if (typeof value === 'string')
    return value
      .split(separator)
      .map(normalizeLabel)
      .filter((label) => label !== '');
  const isLabel = (/** @type {unknown} */ one) => (typeof one === 'string' && one.trim() !== '') || Number.isSafeInteger(one);
  if (Array.isArray(value) && value.every(isLabel)) return value.map((label) => normalizeLabel(String(label)));
  throw new UserError(
    `got ${quote(value)}, expected \`label\` to be a list of labels, or a string with ${JSON.stringify(separator)} between them`,
  );
}

/** @param {string} label @param {Map<string, number>} indices @param {string} separator */
function findLabel(label, indices, separator) {
  const index = indices.get(label);
  if (index !== undefined) return index;
  throw new UserError(
    `the label ${JSON.stringify(label)} is unknown to the classifier, expected some of ${listFirst([...indices.keys()])}; ` +
      `labels are separated by ${JSON.stringify(separator)}, see --label-separator`,
  );
}

/**
 * Reads the number of a text for each label of a regression.
 *
 * @param {unknown} value a number, a list of numbers, an object with a number for each label, or a string
 * @param {string[]} labels
 * @param {string} separator between the numbers of a string
 * @returns {number[]} in the order of the labels
 * @throws {UserError} it is none of these, a number is not finite or very large, or there are more or fewer than labels
 */
export function readNumbers(value, labels, separator) {
  const numbers = listValues(value, labels, separator).map(parseNumber);
  if (numbers.length === labels.length && numbers.every((number) => Math.abs(number) <= MAX_NUMBER)) return numbers;
  const expected =
    labels.length === 1
      ? 'a number'
      : `${labels.length} numbers, a list or with ${JSON.stringify(separator)} between them, in the order ${listFirst(labels)}`;
  throw new UserError(`got ${quote(value)}, expected \`label\` to be ${expected}`);
}

/** @param {unknown} value @param {string[]} labels @param {string} separator @returns {unknown[]} */
function listValues(value, labels, separator) {
  if (Array.isArray(value)) return value;
  if (typeof value === 'string') return value.split(separator);
  if (!isObject(value)) return [value];
  const isWhole = Object.keys(value).length === labels.length && labels.every((label) => Object.hasOwn(value, label));
  return isWhole ? labels.map((label) => value[label]) : [];
}

/** @param {unknown} value @returns {number} NaN if it is none */
function parseNumber(value) {
  if (typeof value === 'number') return value;
  return typeof value === 'string' && NUMBER.test(value.trim()) ? Number(value) : NaN;
}

/** @param {unknown} value as it was in the file */
function quote(value) {
  return value === undefined ? 'no `label`' : `label ${toOneLine(JSON.stringify(value).slice(0, MAX_QUOTED_LENGTH))}`;
}
