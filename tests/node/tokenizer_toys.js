/** Tokenizers small enough to know by heart: their tables are written out here by hand. */
import { Tokenizer } from '../../node_bridge/tokenizer/index.js';

const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
const UNICODE = 0x110000;
const [ALONE, SPACE, VANISHES, BLOCKS, FOLDED] = [1, 2, 3, 4, 5];

/**
 * Tables in which each character is a letter but those named.
 *
 * @param {object} [named]
 * @param {string} [named.alone]
 * @param {string} [named.spaces]
 * @param {string} [named.vanishing]
 * @param {string} [named.blocking]
 * @param {Record<string, number[]>} [named.folds] symbols: code point × 4 + kind
 * @param {Record<string, number>} [named.ranks]
 * @param {string} [named.isolated]
 * @param {boolean} [named.inBytes]
 * @param {number} [named.limit]
 */
export function toyTables({
  alone = '中文，[]',
  spaces = ' \n',
  vanishing = '',
  blocking = '',
  folds = {},
  ranks = {},
  isolated = '',
  inBytes = false,
  limit = 100,
} = {}) {
  const classes = new Uint8Array(UNICODE);
  const groups = /** @type {[string, number][]} */ ([
    [alone, ALONE],
    [spaces, SPACE],
    [vanishing, VANISHES],
    [blocking, BLOCKS],
    [Object.keys(folds).join(''), FOLDED],
  ]);
  for (const [characters, stored] of groups) for (const c of characters) classes[point(c)] = stored;
  const marked = new Uint8Array(UNICODE);
  for (const c of isolated) marked[point(c)] = 1;

  const out = [...Buffer.from('BBTT'), 1, ...number(Number(inBytes)), ...number(limit), ...runs(classes)];
  /** @type {number[]} */
  let last = [];
  for (const c of Object.keys(folds).sort((a, b) => point(a) - point(b))) {
    out.push(...number(folds[c].length));
    folds[c].forEach((symbol, i) => {
      const difference = symbol - (i < last.length ? last[i] : point(c) * 4);
      out.push(...number(difference >= 0 ? 2 * difference : -2 * difference - 1));
    });
    last = folds[c];
  }
  const marks = Object.entries(ranks).sort(([a], [b]) => point(a) - point(b));
  out.push(...number(marks.length));
  marks.reduce((before, [c, rank]) => {
    out.push(...number(point(c) - before), ...number(rank));
    return point(c);
  }, 0);
  return Uint8Array.from([...out, ...runs(marked)]);
}

/**
 * @param {string[]} pieces the vocab after the special tokens
 * @param {object} [options]
 * @param {'bert' | 'tf-text' | 'tf-text-fast' | 'chars'} [options.algorithm]
 * @param {Uint8Array} [options.tables]
 * @param {number} [options.maxLength]
 */
export function toyTokenizer(pieces, { algorithm = 'tf-text', tables = toyTables(), maxLength = 512 } = {}) {
  const tokens = [...SPECIAL, ...pieces];
  const [pad, unk, cls, sep, mask] = SPECIAL.map((token, id) => ({ token, id }));
  return new Tokenizer({
    vocabBytes: new TextEncoder().encode(`${tokens.join('\n')}\n`),
    tablesBytes: tables,
    maxLength,
    contract: {
      algorithm,
      options: { lower_case: true },
      vocab_size: tokens.length,
      special_tokens: { pad, unk, cls, sep, mask },
      source_adds_special_tokens: false,
    },
  });
}

/** @param {string} c */
export function point(c) {
  return /** @type {number} */ (c.codePointAt(0));
}

/** @param {number} value */
function number(value) {
  const bytes = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}

/** @param {Uint8Array} classes */
function runs(classes) {
  const out = [];
  let count = 0;
  for (let start = 0, end = 0; start < UNICODE; start = end) {
    while (end < UNICODE && classes[end] === classes[start]) end++;
    out.push(...number((end - start) * 8 + classes[start]));
    count += 1;
  }
  return [...number(count), ...out];
}
