import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

import { UserError } from '../../node_bridge/support/errors.js';
import { Scanner } from '../../node_bridge/tokenizer/scanner.js';
import { parseVocab, Trie } from '../../node_bridge/tokenizer/vocab.js';
import { point, toyTables, toyTokenizer } from './tokenizer_toys.js';

const LETTER = 0;
const SINGLE = 1;

/** @param {ReturnType<typeof toyTokenizer>} tokenizer @param {string} text */
function tokens(tokenizer, text) {
  return tokenizer.encodeWithTokens(text, { specialTokens: false }).tokens;
}

test('a word is cut into the longest pieces, or is unknown as a whole', () => {
  const tokenizer = toyTokenizer(['a', 'ab', '##c', '##cd', '中']);
  assert.deepEqual(tokens(tokenizer, 'abcd abc'), ['ab', '##cd', 'ab', '##c']);
  assert.deepEqual(tokens(tokenizer, 'abx a'), ['[UNK]', 'a']);
  assert.deepEqual(tokens(tokenizer, 'a中ab文'), ['a', '中', 'ab', '[UNK]']);
  assert.deepEqual(tokens(tokenizer, ''), []);
});

test('the tables decide what a character becomes', () => {
  const folds = {
    Ａ: [point('a') * 4 + LETTER],
    '㈱': [point('，') * 4 + SINGLE, point('中') * 4 + SINGLE],
  };
  const tokenizer = toyTokenizer(['a', '##a', '，', '中'], { tables: toyTables({ folds, vanishing: '-' }) });
  assert.deepEqual(tokens(tokenizer, 'Ａ-a㈱'), ['a', '##a', '，', '中']);
});

test('the word limit counts characters or UTF-8 bytes', () => {
  const pieces = ['か', '##か'];
  const inBytes = toyTokenizer(pieces, { tables: toyTables({ inBytes: true }) });
  const inCharacters = toyTokenizer(pieces);
  assert.equal(tokens(inBytes, 'か'.repeat(33)).length, 33);
  assert.deepEqual(tokens(inBytes, 'か'.repeat(34)), ['[UNK]']);
  assert.equal(tokens(inCharacters, 'か'.repeat(100)).length, 100);
  assert.deepEqual(tokens(inCharacters, 'か'.repeat(101)), ['[UNK]']);
});

test('marks are put in canonical order, up to a block, a letter or the edge of a word', () => {
  const tables = toyTables({ ranks: { x: 1, y: 2 }, blocking: '|', vanishing: '-' });
  const tokenizer = toyTokenizer(['a', '##xy', '##yx', '##y', '##x', '##a', 'x', 'y'], { tables });
  assert.deepEqual(tokens(tokenizer, 'ayx'), ['a', '##xy']);
  assert.deepEqual(tokens(tokenizer, 'ay-x'), ['a', '##xy']);
  assert.deepEqual(tokens(tokenizer, 'ay|x'), ['a', '##yx']);
  assert.deepEqual(tokens(tokenizer, 'ayax'), ['a', '##y', '##a', '##x']);
  assert.deepEqual(tokens(tokenizer, 'y x'), ['y', 'x']);
});

test('marks of one class keep their order', () => {
  const tables = toyTables({ ranks: { x: 1, z: 1, y: 2 } });
  const tokenizer = toyTokenizer(['a', '##xz', '##zx', '##zxy'], { tables });
  assert.deepEqual(tokens(tokenizer, 'axz'), ['a', '##xz']);
  assert.deepEqual(tokens(tokenizer, 'azx'), ['a', '##zx']);
  assert.deepEqual(tokens(tokenizer, 'azyx'), ['a', '##zxy']);
});

test('tf-text-fast treats a space as a letter if a piece can continue', () => {
  const tables = toyTables({ spaces: ' \u2028', isolated: '中，' });
  const pieces = ['a', '\u2028', '##\u2028', '##b', '中'];
  const fast = toyTokenizer(pieces, { algorithm: 'tf-text-fast', tables });
  assert.deepEqual(tokens(fast, '\u2028b'), ['\u2028', '##b']);
  assert.deepEqual(tokens(fast, 'a\u2028b'), ['a', '##\u2028', '##b']);
  assert.deepEqual(tokens(fast, '中\u2028'), ['中']);
  assert.deepEqual(tokens(fast, 'z\u2028b'), ['[UNK]', '[UNK]']);
  const plain = toyTokenizer(pieces, { tables });
  assert.deepEqual(tokens(plain, 'a\u2028a'), ['a', 'a']);
});

test('tf-text-fast excludes pieces with an isolated character', () => {
  const tables = toyTables({ spaces: ' \u2028', isolated: '，' });
  const fast = toyTokenizer(['a', '\u2028，'], { algorithm: 'tf-text-fast', tables });
  assert.deepEqual(tokens(fast, '\u2028a'), ['a']);
});

test('special tokens in the text: bert finds them with exact case, chars in any case, others not at all', () => {
  const bert = toyTokenizer(['a', '##a'], { algorithm: 'bert' });
  assert.deepEqual(tokens(bert, 'a[MASK]a[mask'), ['a', '[MASK]', 'a', '[UNK]', '[UNK]']);
  assert.deepEqual(tokens(bert, '[[SEP][SEP]'), ['[UNK]', '[SEP]', '[SEP]']);
  const plain = toyTokenizer(['a'], { algorithm: 'tf-text' });
  assert.deepEqual(tokens(plain, '[MASK]'), ['[UNK]', '[UNK]', '[UNK]']);
  const folds = Object.fromEntries([...'aA[maskMASK]'].map((c) => [c, [point(c.toLowerCase()) * 4 + SINGLE]]));
  const chars = toyTokenizer(['A', '['], { algorithm: 'chars', tables: toyTables({ folds }) });
  assert.deepEqual(tokens(chars, 'a[MaSk][A'), ['A', '[MASK]', '[', 'A']);
});

test('a token on several lines has the last id for bert, the first for the others', () => {
  const pieces = ['a', '中', 'a', '##b', '##b'];
  const ids = (/** @type {'bert' | 'tf-text'} */ algorithm) => [
    ...toyTokenizer(pieces, { algorithm }).encode('ab中', { specialTokens: false }).ids,
  ];
  assert.deepEqual(ids('bert'), [7, 9, 6]);
  assert.deepEqual(ids('tf-text'), [5, 8, 6]);
});

test('[CLS] and [SEP] are around each text, and the types of a pair are 0 and 1', () => {
  const tokenizer = toyTokenizer(['中', '文']);
  const plain = tokenizer.encode('中文');
  assert.deepEqual([...plain.ids], [2, 5, 6, 3]);
  assert.deepEqual([...plain.typeIds], [0, 0, 0, 0]);
  const { ids, typeIds } = tokenizer.encode('中', { pair: '文中' });
  assert.deepEqual([...ids], [2, 5, 3, 6, 5, 3]);
  assert.deepEqual([...typeIds], [0, 0, 0, 1, 1, 1]);
  const bare = tokenizer.encode('中', { pair: '文', specialTokens: false });
  assert.deepEqual([...bare.ids], [5, 6]);
  assert.deepEqual([...bare.typeIds], [0, 1]);
});

test("a pair is cut as the algorithm's library does it, joined at the end", () => {
  const tokenizer = toyTokenizer(['中', '文'], { maxLength: 8 });
  const lengths = (/** @type {number} */ a, /** @type {number} */ b, by = tokenizer) => {
    const { typeIds } = by.encode('中'.repeat(a), { pair: '文'.repeat(b) });
    const ones = typeIds.reduce((sum, kind) => sum + kind, 0);
    return [typeIds.length - ones - 2, ones - 1];
  };
  // TF-Text's RoundRobinTrimmer: the first text gets the odd token.
  assert.deepEqual(lengths(2, 3), [2, 3]);
  assert.deepEqual(lengths(1, 9), [1, 4]);
  assert.deepEqual(lengths(9, 1), [4, 1]);
  assert.deepEqual(lengths(9, 9), [3, 2]);
  assert.deepEqual(lengths(9, 10), [3, 2]);
  assert.deepEqual(lengths(10, 9), [3, 2]);
  assert.deepEqual(lengths(0, 9), [0, 5]);
  // Hugging Face's: the longer text's, the second's where they are equal.
  for (const algorithm of /** @type {const} */ (['bert', 'chars'])) {
    const other = toyTokenizer(['中', '文'], { maxLength: 8, algorithm });
    assert.deepEqual(lengths(2, 3, other), [2, 3]);
    assert.deepEqual(lengths(1, 9, other), [1, 4]);
    assert.deepEqual(lengths(9, 9, other), [2, 3]);
    assert.deepEqual(lengths(10, 9, other), [3, 2]);
  }
  // Its limit without the special tokens is unsigned: below zero it wraps around, and nothing is cut.
  const bert = toyTokenizer(['中', '文'], { maxLength: 2, algorithm: 'bert' });
  assert.deepEqual(lengths(3, 4, bert), [3, 4]);
  assert.deepEqual(lengths(3, 4, toyTokenizer(['中', '文'], { maxLength: 3, algorithm: 'bert' })), [0, 0]);
  assert.equal(tokenizer.encode('中'.repeat(20)).ids.length, 8);
  const joined = tokenizer.encode('中中中', { pair: '文文文文', truncation: 'joined' });
  assert.deepEqual([...joined.ids], [2, 5, 5, 5, 3, 6, 6, 6]);
});

test('offsets are in UTF-16 units, and [0, 0] for added tokens', () => {
  const tokenizer = toyTokenizer(['𠀀', '##b', '中']);
  const { tokens: found, offsets } = tokenizer.encodeWithTokens('𠀀b 中x', { pair: '中' });
  assert.deepEqual(found, ['[CLS]', '𠀀', '##b', '中', '[UNK]', '[SEP]', '中', '[SEP]']);
  assert.deepEqual(offsets, [
    [0, 0],
    [0, 2],
    [2, 3],
    [4, 5],
    [5, 6],
    [0, 0],
    [0, 1],
    [0, 0],
  ]);
});

test('a lone surrogate is an error that says where, and leaves nothing behind', () => {
  const tokenizer = toyTokenizer(['a', '##b']);
  for (const text of ['a\ud800', 'a\udc00b', 'a\ud800b']) {
    assert.throws(
      () => tokenizer.encode(text),
      (error) => {
        assert(error instanceof UserError);
        assert.match(error.message, /lone surrogate \(U\+D[8C]00\) at position 1/);
        return true;
      },
    );
  }
  assert.deepEqual(tokens(tokenizer, 'ab'), ['a', '##b']);
});

test('each letter of a long word is read once, and a word beyond the limit is not looked up', (t) => {
  const tokenizer = toyTokenizer(['a', '##a', '中']);
  assert.deepEqual(tokens(tokenizer, 'a'), ['a']);
  const letters = t.mock.method(Scanner.prototype, 'addLetter');
  const steps = t.mock.method(Trie.prototype, 'step');
  assert.equal(tokens(tokenizer, 'a'.repeat(100)).length, 100);
  assert(steps.mock.callCount() >= 100);
  letters.mock.resetCalls();
  steps.mock.resetCalls();
  assert.deepEqual(tokens(tokenizer, 'a'.repeat(10_000)), ['[UNK]']);
  assert.deepEqual([letters.mock.callCount(), steps.mock.callCount()], [10_000, 0]);
  t.mock.restoreAll();
  assert.deepEqual(tokens(tokenizer, 'a'.repeat(1_000_000)), ['[UNK]']);
  assert.equal(tokenizer.encode('中'.repeat(1_000_000), { maxLength: 10 }).ids.length, 10);
});

test('invalid options are refused', () => {
  const tokenizer = toyTokenizer([]);
  assert.throws(() => tokenizer.encode('', { maxLength: 0 }), /positive integer, got `0`/);
  const truncation = /** @type {any} */ ('left');
  assert.throws(() => tokenizer.encode('', { truncation }), /longest-first or joined, got `left`/);
});

test('only \\n ends a line of a vocab, or \\r\\n if all lines end with it', () => {
  const parse = (/** @type {string} */ text) => parseVocab(new TextEncoder().encode(text));
  assert.deepEqual(parse('a\n\u2028\n##\u2028\n'), ['a', '\u2028', '##\u2028']);
  assert.deepEqual(parse('a\nb'), ['a', 'b']);
  assert.deepEqual(parse('a\r\nb\r\n'), ['a', 'b']);
  assert.deepEqual(parse('a\r\nb'), ['a', 'b']);
  assert.throws(() => parseVocab(Uint8Array.of(0x61, 0xff)), /not valid UTF-8/);
});

test('damaged tables are refused', () => {
  const whole = toyTables();
  const altered = Uint8Array.from(whole);
  altered[0] = 0;
  assert.throws(() => toyTokenizer([], { tables: altered }), /another format/);
  assert.throws(() => toyTokenizer([], { tables: whole.slice(0, -1) }), /cut off/);
  assert.throws(() => toyTokenizer([], { tables: Uint8Array.from([...whole, 0]) }), /expected/);
});

test('the tokenizer uses no Unicode tables of its host and nothing of Node', () => {
  const folder = new URL('../../node_bridge/tokenizer/', import.meta.url);
  const files = readdirSync(folder);
  assert(files.includes('index.js'));
  for (const file of files) {
    const code = readFileSync(new URL(file, folder), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
    assert.doesNotMatch(code, /normalize\(|toLowerCase|toUpperCase|\\p\{|Intl|node:|Buffer|process\./, file);
  }
});
