/**
 * Finds the role of each column of a data file: the text, or the two texts of a pair, and the label.
 * This program calls them `text`, `sentence1`, `sentence2` and `label`; public data sets use other
 * names, and some have no header. If two columns could have one role, that is an error, not a guess.
 */
import { UserError } from '../support/errors.js';

/** In lower case. LCQMC, ChnSentiCorp, CLUE and review tables use these. */
const TEXT_NAMES = ['text', 'sentence', 'text_a', 'review', 'content', 'comment', '文本', '句子', '评论', '内容'];
const PAIR_NAMES = [
  ['sentence1', 'sentence2'],
  ['text_a', 'text_b'],
  ['sentence_a', 'sentence_b'],
  ['text1', 'text2'],
  ['question1', 'question2'],
  ['query1', 'query2'],
  ['premise', 'hypothesis'],
];
const LABEL_NAMES = ['label', 'labels', 'class', 'category', 'sentiment', '标签', '类别', '情感'];

/** This program's names, and the words for a column to skip. */
const ROLES = ['text', 'sentence1', 'sentence2', 'label'];
const SKIP = ['_', '-'];

/**
 * @typedef {object} Columns the columns that the user named, by order or by name
 * @property {string[]} [order] the role of each column, `_` to skip it
 * @property {Record<string, string>} [names] from a role to the name of its column
 *
 * @typedef {Record<string, string>} Roles from `text`, or `sentence1` and `sentence2`, and `label`
 *   to the name of the column; `label` is missing where no column has such a name
 */

/**
 * @param {string} option `label,text`, the columns in order, or `review=text,stars=label`, by name
 * @returns {Columns}
 * @throws {UserError} it has another form, or names no text
 */
export function parseColumns(option) {
  const parts = option.split(',').map((part) => part.trim());
  const isByName = parts.some((part) => part.includes('='));
  const [names, roles] = [/** @type {string[]} */ ([]), /** @type {string[]} */ ([])];
  for (const part of parts) {
    const at = part.lastIndexOf('=');
    names.push(part.slice(0, Math.max(at, 0)));
    roles.push(SKIP.includes(part) ? '_' : part.slice(at + 1));
  }
  const used = roles.filter((role) => role !== '_').sort();
  const texts = used.filter((role) => role !== 'label').join();
  const isSound =
    used.every((role) => ROLES.includes(role)) &&
    (['text', 'sentence1,sentence2'].includes(texts) || (isByName && texts === '')) &&
    used.filter((role) => role === 'label').length <= 1 &&
    (isByName ? used.length === roles.length : used.includes('label')) &&
    (!isByName || names.every((name) => name !== ''));
  if (!isSound) {
    throw new UserError(
      'Expected --columns to be the columns in order, such as label,text or sentence1,sentence2,label, with _ for one ' +
        `to skip, or their own names, such as review=text,stars=label; got \`${option}\``,
    );
  }
  return isByName ? { names: Object.fromEntries(roles.map((role, i) => [role, names[i]])) } : { order: roles };
}

/**
 * @param {string[]} names of the columns, or of an object's fields
 * @param {Columns} [asked] by name; other roles are found by their usual names
 * @param {boolean} [isLabelled] whether to look for the label; true by default
 * @returns {Roles | undefined} undefined if no column is a text
 * @throws {UserError} two columns could have one role, or a column of `asked` is missing
 */
export function findRoles(names, { names: asked = {} } = {}, isLabelled = true) {
  const { label: askedLabel, ...askedTexts } = asked;
  const missing = Object.values(isLabelled ? asked : askedTexts).find((name) => !names.includes(name));
  if (missing !== undefined) {
    throw new UserError(`got ${names.join(', ') || 'no names'}, expected \`${missing}\` among them, as --columns says`);
  }
  const texts = Object.keys(askedTexts).length > 0 ? askedTexts : findTextColumns(names);
  if (texts === undefined || !isLabelled) return texts;
  const label =
    askedLabel ??
    pickOnly(
      LABEL_NAMES.map((name) => findByName(names, name)),
      'label',
    )?.[0];
  return label === undefined ? texts : { ...texts, label };
}

/** @param {string[]} names @returns {Roles | undefined} */
function findTextColumns(names) {
  const pairs = PAIR_NAMES.map((pair) => pair.map((name) => findByName(names, name)))
    .filter((pair) => pair.every((found) => found.length > 0))
    .map((pair) => pair.flat());
  const singles = TEXT_NAMES.map((name) => findByName(names, name).filter((found) => !pairs.flat().includes(found)));
  const found = pickOnly([...pairs, ...singles], 'text', pairs.length);
  if (found === undefined) return undefined;
  return found.length === 2 ? { sentence1: found[0], sentence2: found[1] } : { text: found[0] };
}

/** @param {string[]} names @param {string} wanted in lower case */
function findByName(names, wanted) {
  return names.filter((name) => name.trim().toLowerCase() === wanted);
}

/**
 * @param {string[][]} found columns that could have the role, one entry for each usual name
 * @param {string} role
 * @param {number} [pairs] how many entries, from the first, are pairs of columns
 * @returns {string[] | undefined}
 * @throws {UserError} more than one could have the role
 */
function pickOnly(found, role, pairs = 0) {
  const some = found.filter((columns) => columns.length > 0);
  if (some.length <= 1 && (some[0]?.length ?? 0) <= (pairs > 0 ? 2 : 1)) return some[0];
  const all = some.flat();
  throw new UserError(
    `got ${all.map((name) => `\`${name}\``).join(' and ')}, of which more than one could be the ${role}; ` +
      `choose with --columns ${pairs > 0 && all.length > 1 ? `${all[0]}=sentence1,${all[1]}=sentence2` : `${all[0]}=${role}`}`,
  );
}

/**
 * Describes which columns are used; empty if the file has exactly this program's names.
 *
 * @param {string} path
 * @param {Roles} roles
 * @param {string[]} names of all columns
 */
export function describeColumns(path, roles, names) {
  const others = names.filter((name) => !Object.values(roles).includes(name));
  const renamed = Object.entries(roles).filter(([role, name]) => role !== name);
  if (renamed.length === 0 && others.length === 0) return '';
  const taken = Object.entries(roles).map(([role, name]) => (role === name ? `\`${name}\`` : `\`${name}\` as ${role}`));
  return `${path}: takes ${taken.join(', ')}${others.length === 0 ? '' : `; not used: ${others.join(', ')}`}`;
}

/**
 * Suggests options for a table whose header is missing or not understood.
 *
 * @param {string[][]} sample its first rows, each of two columns or more
 * @returns {string} options, or two alternatives
 */
export function suggestOptions([first, ...rest]) {
  const columns = first.map((cell, i) => {
    const below = rest.map((row) => row[i] ?? '');
    const distinct = new Set([cell, ...below]).size;
    return {
      first: cell,
      below,
      length: [cell, ...below].join('').length,
      repeats: new Set(below).size < below.length,
      counts: distinct === 1 + below.length && below.every((value) => /^\d+$/.test(value.trim())),
    };
  });
  const byLength = columns.toSorted((a, b) => a.length - b.length);
  const label = byLength.find(({ repeats }) => repeats) ?? byLength[0];
  const others = columns.filter((column) => column !== label && !(column.counts && columns.length > 2));
  // If there are more than two, the longest is the text: others may be a title, a date or a user name.
  const texts = others.length > 2 ? byLength.slice(-1) : others;
  const order = columns.map((column) => {
    if (column === label) return 'label';
    if (!texts.includes(column)) return '_';
    return texts.length === 1 ? 'text' : `sentence${texts.indexOf(column) + 1}`;
  });
  const option = `--columns ${order.join(',')}`;
  const isData = label.below.includes(label.first) || /^\s*-?\d+\s*$/.test(label.first);
  return isData
    ? `add --no-header ${option}`
    : `add ${option} if the first line names the columns, or --no-header ${option} if it is data`;
}
