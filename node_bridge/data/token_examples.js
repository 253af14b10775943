/**
 * Reads texts whose tokens are labelled: JSON with `text` and `spans`; JSON with `tokens` and `tags`, two
 * lists of one length; or columns as in CoNLL's files, a token and its tag a line, with a blank line after
 * each text.
 */
import { toOneLine, UserError, withLocation } from '../support/errors.js';
import { isObject } from '../support/json.js';
import { DEFAULT_ENCODING } from './encodings.js';
import { openContents } from './file_contents.js';
import { parseObject } from './json_rows.js';
import { readTextFields } from './text.js';

/** The most tokens of a text. A column file without blank lines would use up the memory. */
const MAX_TOKENS = 2 ** 20;
/** What CoNLL's files have before each document. */
const DOCUMENT_START = '-DOCSTART-';
/** Two tokens between which their text has a space: `New` and `York`, but not the digits of `2`, `0`, `1`, `9`. */
const WORD = /^[\p{Script=Latin}\p{Nd}]+$/u;

/**
 * @typedef {object} Unit a part of a text that has one tag: a character, or a token of the file
 * @property {number} start in UTF-16 units of the text
 * @property {number} end in UTF-16 units of the text
 *
 * @typedef {Unit & {label: string}} LabelledSpan
 *
 * @typedef {object} TokenExample
 * @property {string} text
 * @property {number} line where it begins
 * @property {Unit[]} units all that is counted of the text: its characters without white space, or its tokens
 * @property {string[]} [tags] of each unit
 * @property {LabelledSpan[]} [spans] in order, without overlaps, where the file has no tags
 */

/**
 * @param {string} path
 * @param {string} [encoding] see encodings.js
 * @returns {AsyncGenerator<TokenExample>}
 * @throws {UserError} the file is missing or broken, or a text has no spans or tags that fit it; names the line
 */
export async function* readTokenExamples(path, encoding = DEFAULT_ENCODING) {
  const { kind, contents } = await openContents(path, encoding);
  try {
    if (kind === 'table') yield* readColumns(contents, path);
    else yield* readObjects(contents, path);
  } finally {
    await contents.return(undefined);
  }
}

/** @param {AsyncIterable<import('./table.js').NumberedLine>} contents @param {string} path @returns {AsyncGenerator<TokenExample>} */
async function* readObjects(contents, path) {
  for await (const { content, line } of contents) {
    if (content.trim() === '') continue;
    yield withLocation(`${path}:${line}`, () => ({ ...readObject(parseObject(content)), line }));
  }
}

/** @param {Record<string, unknown>} fields @returns {Omit<TokenExample, 'line'>} */
function readObject(fields) {
  if (fields.tokens !== undefined) return joinTokens(readStrings(fields, 'tokens'), readStrings(fields, 'tags'));
  if (fields.spans === undefined) {
    const names = Object.keys(fields).slice(0, 10).join(', ') || '(none)';
    throw new UserError(`got fields ${toOneLine(names)}, expected \`text\` and \`spans\`, or \`tokens\` and \`tags\``);
  }
  const { text, pair } = readTextFields(fields);
  if (pair !== undefined) throw new UserError('got a pair, expected a single `text` with `spans`');
  const units = [...text.matchAll(/\S/gu)].map(({ 0: { length }, index }) => ({ start: index, end: index + length }));
  return { text, units, spans: readSpans(fields.spans, text) };
}

/** @param {Record<string, unknown>} fields @param {string} name @returns {string[]} */
function readStrings(fields, name) {
  const value = fields[name];
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value;
  throw new UserError(`got ${quote(value)}, expected \`${name}\` to be a list of strings`);
}

/**
 * @param {unknown} value
 * @param {string} text
 * @returns {LabelledSpan[]} in order
 * @throws {UserError} it is no list of spans, one does not lie in the text, or two overlap
 */
function readSpans(value, text) {
  if (!Array.isArray(value)) throw new UserError(`got ${quote(value)}, expected \`spans\` to be a list`);
  const spans = value.map((span) => readSpan(span, text)).sort((a, b) => a.start - b.start);
  const overlapping = spans.findIndex(({ start }, i) => i > 0 && start < spans[i - 1].end);
  if (overlapping === -1) return spans;
  throw new UserError(
    `the spans ${quote(spans[overlapping - 1])} and ${quote(spans[overlapping])} overlap, expected spans apart`,
  );
}

/** @param {unknown} span @param {string} text @returns {LabelledSpan} */
function readSpan(span, text) {
  const { start, end, label, text: part } = isObject(span) ? span : {};
  const isPlace = Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start < end && end <= text.length;
  if (!isPlace || typeof label !== 'string' || text.slice(start, end).trim() === '') {
    throw new UserError(
      `got the span ${quote(span)}, expected {"start", "end", "label"} with 0 ≤ start < end ≤ ${text.length}, the length of the text`,
    );
  }
  const isCut = [start, end].some((at) => /^[\ud800-\udbff][\udc00-\udfff]$/.test(text.slice(at - 1, at + 1)));
  if (isCut || (part !== undefined && part !== text.slice(start, end))) {
    throw new UserError(
      `the span ${quote(span)} is ${quote(text.slice(start, end))} in the text, expected whole characters` +
        `${part === undefined ? '' : ' and its `text`'}: positions are UTF-16 units, as JavaScript counts`,
    );
  }
  return { start, end, label };
}

/**
 * Makes a text of tokens. Chinese ones follow each other; between two words in letters or digits there is a
 * space, unless both are single characters, as in files with a digit a line.
 *
 * @param {string[]} tokens
 * @param {string[]} tags
 * @returns {Omit<TokenExample, 'line'>}
 * @throws {UserError} there are more of one, or a token is empty
 */
function joinTokens(tokens, tags) {
  if (tokens.length !== tags.length) {
    throw new UserError(`got ${tokens.length} tokens and ${tags.length} tags, expected as many of both`);
  }
  if (tokens.length > MAX_TOKENS) throw createTooManyError();
  const empty = tokens.indexOf('');
  if (empty !== -1) throw new UserError(`token ${empty + 1} is empty, expected a character or a word`);
  /** @type {string[]} */
  const parts = [];
  let length = 0;
  const units = tokens.map((token, i) => {
    const before = tokens[i - 1] ?? '';
    const isApart = before.length + token.length > 2 && WORD.test(before) && WORD.test(token);
    parts.push(isApart ? ` ${token}` : token);
    const start = length + Number(isApart);
    length = start + token.length;
    return { start, end: length };
  });
  return { ...readTextFields({ text: parts.join('') }), units, tags };
}

/**
 * @param {AsyncIterable<import('./table.js').NumberedLine>} lines
 * @param {string} path
 * @returns {AsyncGenerator<TokenExample>}
 */
async function* readColumns(lines, path) {
  /** @type {{tokens: string[], tags: string[], line: number}} */
  let open = { tokens: [], tags: [], line: 0 };
  const close = () => {
    const { tokens, tags, line } = open;
    open = { tokens: [], tags: [], line: 0 };
    return withLocation(`${path}:${line}`, () => ({ ...joinTokens(tokens, tags), line }));
  };
  for await (const { content, line } of lines) {
    if (content.trim() === '' || content.startsWith(DOCUMENT_START)) {
      if (open.tokens.length > 0) yield close();
      continue;
    }
    const [token, tag] = withLocation(`${path}:${line}`, () => readColumnLine(content, open.tokens.length));
    if (open.tokens.length === 0) open.line = line;
    open.tokens.push(token);
    open.tags.push(tag);
  }
  if (open.tokens.length > 0) yield close();
}

/** The first and the last column of a line. @param {string} content @param {number} before how many tokens the text has already */
function readColumnLine(content, before) {
  if (before === MAX_TOKENS) throw createTooManyError();
  const columns = content.replace(/\r$/, '').split(/[ \t]+/);
  if (columns.at(-1) === '') columns.pop();
  if (columns.length > 1 && columns[0] !== '') return /** @type {[string, string]} */ ([columns[0], columns.at(-1)]);
  throw new UserError(
    `got ${quote(content)}, expected JSON with \`text\` and \`spans\` or \`tokens\` and \`tags\`, or a token and its tag with a space or a tab between`,
  );
}

function createTooManyError() {
  return new UserError(`the text has more than ${MAX_TOKENS} tokens, expected at most so many; does the file lack blank lines?`);
}

/** @param {unknown} value as it was in the file, in one line */
function quote(value) {
  return toOneLine((JSON.stringify(value) ?? 'nothing').slice(0, 60));
}
