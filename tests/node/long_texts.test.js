/** How long texts become rows of ids: by hand, and by properties that hold for any length. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { encodeFeatures } from '../../node_bridge/encoder/features.js';
import { EnvironmentProblem, UserError } from '../../node_bridge/support/errors.js';
import { LengthTally } from '../../node_bridge/tokenizer/length_tally.js';
import { describeLongRule, parseLongRule } from '../../node_bridge/tokenizer/long_rule.js';
import { TextReader } from '../../node_bridge/tokenizer/long_texts.js';
import { toyTables, toyTokenizer } from './tokenizer_toys.js';
import { ToyEncoder, toyTokenizer as points } from './toys.js';

const CHARACTERS = Array.from({ length: 120 }, (_, i) => String.fromCodePoint(0x4e00 + i));
const [CLS, SEP] = [2, 3];
/** The id of the first character; the others follow. */
const FIRST = 5;
/** @type {Record<string, ReturnType<typeof toyTokenizer>>} */
const TOKENIZERS = Object.fromEntries(
  /** @type {const} */ (['bert', 'tf-text']).map((algorithm) => [
    algorithm,
    toyTokenizer(CHARACTERS, { algorithm, tables: toyTables({ alone: CHARACTERS.join('') }) }),
  ]),
);

/** A text of so many different tokens. @param {number} tokens @param {number} [from] */
const textOf = (tokens, from = 0) => CHARACTERS.slice(from, from + tokens).join('');

/**
 * The ids and types of each row, with the tokens as their numbers from 0.
 *
 * @param {import('../../node_bridge/data/text.js').Text} text
 * @param {number} maxLength
 * @param {import('../../node_bridge/tokenizer/long_rule.js').LongOptions} options
 * @param {'bert' | 'tf-text'} [algorithm]
 */
function read(text, maxLength, options, algorithm = 'tf-text') {
  const reading = new TextReader(TOKENIZERS[algorithm], { maxLength, long: parseLongRule(options, maxLength) }).read(text);
  const rows = Array.from({ length: reading.count }, (_, i) => reading.row(i));
  return { reading, rows, ids: rows.map(({ ids }) => Array.from(ids)), types: rows.map(({ typeIds }) => Array.from(typeIds)) };
}

/** The ids of a row. @param {(number | number[])[]} parts numbers of tokens, and special ids in brackets */
const row = (...parts) => parts.map((part) => (typeof part === 'number' ? part + FIRST : part[0]));

test('a text of 11 tokens at 6 positions: four windows of four tokens, the last one ends with the text', () => {
  const { ids, types, reading } = read({ text: textOf(11) }, 6, { long: 'windows', stride: 3 });
  assert.deepEqual(ids, [
    row([CLS], 0, 1, 2, 3, [SEP]),
    row([CLS], 3, 4, 5, 6, [SEP]),
    row([CLS], 6, 7, 8, 9, [SEP]),
    row([CLS], 7, 8, 9, 10, [SEP]),
  ]);
  assert.deepEqual(types.flat(), new Array(24).fill(0));
  assert.deepEqual([reading.positions, reading.unread], [13, 0]);
  const half = read({ text: textOf(9) }, 6, { long: 'windows' });
  assert.deepEqual(
    half.ids.map(([, first]) => first - FIRST),
    [0, 2, 4, 5],
  );
  const apart = read({ text: textOf(8) }, 6, { long: 'windows', stride: 4 });
  assert.deepEqual(
    apart.ids.map(([, first]) => first - FIRST),
    [0, 4],
  );
});

test('head and tail: a quarter of the tokens that stay, rounded up, and the others', () => {
  const { ids, types, reading } = read({ text: textOf(20) }, 9, { long: 'head-tail' });
  assert.deepEqual(ids, [row([CLS], 0, 1, 15, 16, 17, 18, 19, [SEP])]);
  assert.deepEqual(types, [new Array(9).fill(0)]);
  assert.deepEqual([reading.positions, reading.unread], [22, 13]);
  // 128 and 382 of 510 tokens, as in Sun et al. (2019).
  const text = textOf(60).repeat(10);
  const [long] = read({ text }, 512, { long: 'head-tail' }).rows;
  const whole = TOKENIZERS['tf-text'].encode(text, { maxLength: 10_000 }).ids;
  assert.deepEqual([...long.ids.subarray(0, 129)], [...whole.subarray(0, 129)]);
  assert.deepEqual([...long.ids.subarray(129)], [...whole.subarray(-383)]);
});

test('head and tail of a pair: of each text as many tokens as the cut keeps', () => {
  const pair = { text: textOf(20), pair: textOf(10, 50) };
  // 14 tokens fit. TF-Text keeps 7 and 7: the head of 7 is 2.
  const { ids, types } = read(pair, 17, { long: 'head-tail' }, 'tf-text');
  assert.deepEqual(ids, [row([CLS], 0, 1, 15, 16, 17, 18, 19, [SEP], 50, 51, 55, 56, 57, 58, 59, [SEP])]);
  assert.deepEqual(types, [[...new Array(9).fill(0), ...new Array(8).fill(1)]]);
  for (const algorithm of /** @type {const} */ (['bert', 'tf-text'])) {
    for (const [first, second, maxLength] of [
      [30, 3, 12],
      [3, 30, 12],
      [30, 30, 13],
      [0, 30, 12],
    ]) {
      const text = { text: textOf(first), pair: textOf(second, 60) };
      const [cut, both] = ['cut', 'head-tail'].map((long) => read(text, maxLength, { long }, algorithm));
      assert.deepEqual(both.types, cut.types);
      assert.equal(both.reading.unread, cut.reading.unread);
    }
  }
});

test('windows of a pair: the longer text has them, the shorter one is in each', () => {
  const options = { long: 'windows', stride: 3 };
  const after = read({ text: textOf(3), pair: textOf(9, 50) }, 11, options);
  assert.deepEqual(after.ids, [
    row([CLS], 0, 1, 2, [SEP], 50, 51, 52, 53, 54, [SEP]),
    row([CLS], 0, 1, 2, [SEP], 53, 54, 55, 56, 57, [SEP]),
    row([CLS], 0, 1, 2, [SEP], 54, 55, 56, 57, 58, [SEP]),
  ]);
  assert.deepEqual(after.types[2], [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
  const before = read({ text: textOf(9), pair: textOf(3, 50) }, 11, options);
  assert.deepEqual(before.ids, [
    row([CLS], 0, 1, 2, 3, 4, [SEP], 50, 51, 52, [SEP]),
    row([CLS], 3, 4, 5, 6, 7, [SEP], 50, 51, 52, [SEP]),
    row([CLS], 4, 5, 6, 7, 8, [SEP], 50, 51, 52, [SEP]),
  ]);
  assert.deepEqual(before.types[0], [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
  // Both are long: half of the 8 places is what the shorter one gets, and a larger stride than a window is one.
  const both = read({ text: textOf(9), pair: textOf(9, 50) }, 11, { long: 'windows', stride: 9 });
  assert.deepEqual(both.ids, [
    row([CLS], 0, 1, 2, 3, [SEP], 50, 51, 52, 53, [SEP]),
    row([CLS], 0, 1, 2, 3, [SEP], 54, 55, 56, 57, [SEP]),
    row([CLS], 0, 1, 2, 3, [SEP], 55, 56, 57, 58, [SEP]),
  ]);
  assert.equal(both.reading.unread, 5);
  const empty = read({ text: textOf(9), pair: '' }, 7, options);
  assert.deepEqual(empty.ids[1], row([CLS], 3, 4, 5, 6, [SEP], [SEP]));
});

test('a text that fits is read in one way, to its last position', () => {
  for (const text of [{ text: textOf(4) }, { text: '' }, { text: textOf(2), pair: textOf(1) }, { text: '', pair: '' }]) {
    const expected = TOKENIZERS.bert.encode(text.text, { pair: text.pair });
    for (const long of ['cut', 'head-tail', 'windows']) {
      const { rows, reading } = read(text, 6, { long }, 'bert');
      assert.deepEqual(rows, [expected], long);
      assert.deepEqual([reading.positions, reading.unread], [expected.ids.length, 0]);
    }
  }
});

test('of any length: every token is in a window, every window is full, no step is longer than the stride', () => {
  for (let n = 0; n <= 60; n += 1) {
    for (const [maxLength, stride] of [
      [4, 1],
      [4, 2],
      [7, 2],
      [12, 10],
      [16, 7],
    ]) {
      for (const second of [undefined, 0, 1, n, 2 * n]) {
        const text = { text: textOf(n), pair: second === undefined ? undefined : textOf(Math.min(second, 60), 60) };
        const { ids, types, reading } = read(text, maxLength, { long: 'windows', stride });
        const longer = (text.pair?.length ?? 0) >= n && text.pair !== undefined ? 1 : 0;
        const parts = ids.map((one, i) => one.filter((id, at) => id >= FIRST && types[i][at] === longer));
        const size = longer === 1 ? Number(text.pair?.length) : n;
        assert.deepEqual([...new Set(parts.flat())].length, size, 'every token of the longer text');
        if (ids.length === 1) continue;
        assert(ids.every((one) => one.length === maxLength));
        assert(ids.every((one) => one[0] === CLS && one.at(-1) === SEP));
        parts.forEach(([first], i) => {
          if (i === 0) return;
          const step = first - parts[i - 1][0];
          assert(step >= 1 && step <= stride, `${step} after window ${i - 1}`);
          if (i < parts.length - 1) assert.equal(step, Math.min(stride, parts[0].length));
        });
        const all = n + (text.pair?.length ?? 0);
        assert.equal(reading.unread, all - new Set(ids.flat().filter((id) => id >= FIRST)).size);
      }
    }
  }
});

test('each token belongs to the window in which its nearest end, where the text goes on, is farthest', () => {
  for (let n = 5; n <= 70; n += 1) {
    for (const [maxLength, stride] of [
      [6, 1],
      [6, 2],
      [7, 3],
      [9, 7],
      [12, 5],
    ]) {
      const { ids, reading } = read({ text: textOf(n) }, maxLength, { long: 'windows', stride });
      const starts = ids.map(([, first]) => first - FIRST);
      const room = ids[0].length - 2;
      const owners = new Array(n + 2).fill(undefined);
      starts.forEach((start, i) => {
        const { from, to, shift } = reading.ownedBy(i);
        assert.equal(shift, start);
        for (let at = from; at < to; at += 1) owners[at] = owners[at] === undefined ? i : 'two';
      });
      const expected = Array.from({ length: n }, (_, token) => {
        const context = starts.map((start, i) => {
          if (token < start || token >= start + room) return -1;
          const left = i === 0 ? Infinity : token - start;
          const right = i === starts.length - 1 ? Infinity : start + room - 1 - token;
          return Math.min(left, right);
        });
        return context.indexOf(Math.max(...context));
      });
      assert.deepEqual(owners.slice(1, -1), expected, `${n} tokens, ${maxLength} positions, stride ${stride}`);
      assert.deepEqual([owners[0], owners[n + 1]], [0, starts.length - 1]);
    }
  }
});

test('rules are checked, and said in words', () => {
  assert.equal(parseLongRule({}, 3), undefined);
  assert.equal(parseLongRule({ long: 'cut' }, 128), undefined);
  assert.deepEqual(parseLongRule({ long: 'head-tail' }, 128), { choice: 'head-tail' });
  assert.deepEqual(parseLongRule({ long: 'windows' }, 128), { choice: 'windows', stride: 63, pooling: 'mean' });
  const given = parseLongRule({ long: 'windows', stride: 126, windowPooling: 'max' }, 128);
  assert.equal(describeLongRule(given), 'windows, stride 126, max');
  assert.deepEqual([describeLongRule(undefined), describeLongRule({ choice: 'head-tail' })], ['cut', 'head-tail']);
  for (const [options, message, maxLength = 128] of /** @type {[any, RegExp, number?][]} */ ([
    [{ long: 'tail' }, /^Expected `long` to be one of cut, head-tail, windows, got `tail`$/],
    [{ stride: 3 }, /^Got `stride`, which only windows have, but long texts are read by cut; leave it out$/],
    [{ long: 'head-tail', windowPooling: 'max' }, /^Got `windowPooling`, which only windows have/],
    [{ long: 'windows', stride: 0 }, /^Expected `stride` to be a whole number from 1 to 126, .* got `0`$/],
    [{ long: 'windows', stride: 127 }, /^Expected `stride` to be a whole number from 1 to 126, .* got `127`$/],
    [{ long: 'windows', stride: 1.5 }, /^Expected `stride`/],
    [{ long: 'windows', windowPooling: 'sum' }, /^Expected `windowPooling` to be one of mean, max, got `sum`$/],
    [{ long: 'windows' }, /^Expected at least 4 positions for windows, got 3$/, 3],
  ])) {
    assert.throws(
      () => parseLongRule(options, maxLength),
      (error) => error instanceof UserError && message.test(error.message),
    );
  }
});

/** How often a text has each of 好 and 坏, and a tenth of its length with both ends: what ToyEncoder gives. @param {string} text */
const countsOf = (text) => [
  [...text].filter((c) => c === '好').length,
  [...text].filter((c) => c === '坏').length,
  text.length / 10,
];

test('the vector of a text is the mean, or the largest numbers, of those of its windows', async () => {
  const texts = ['好好坏坏好', '好', '坏坏坏坏', '好好坏坏好', '好坏'.repeat(4)].map((text) => ({ text }));
  // `points` puts ^ and $ around a text. With 6 positions a window has 4 characters.
  const windows = [
    ['好好坏坏', '好坏坏好'],
    ['好'],
    ['坏坏坏坏'],
    ['好好坏坏', '好坏坏好'],
    ['好坏好坏', '好坏好坏', '好坏好坏'],
  ];
  const vectorsOf = windows.map((parts) => parts.map((part) => [...countsOf(`^${part}$`), 1]));
  for (const [pooling, pool] of /** @type {const} */ ([
    ['mean', (/** @type {number[]} */ values) => values.reduce((sum, value) => sum + Math.fround(value), 0) / values.length],
    ['max', (/** @type {number[]} */ values) => Math.max(...values)],
  ])) {
    const long = { choice: /** @type {const} */ ('windows'), stride: 2, pooling };
    const lengths = new LengthTally({ maxLength: 6, long });
    const encoder = new ToyEncoder();
    let encoded = 0;
    const features = await encodeFeatures(
      texts,
      { tokenizer: points, encoder },
      { maxLength: 6, long, lengths, onEncoded: (count) => (encoded += count) },
    );
    const expected = vectorsOf.map((rows) =>
      Float32Array.from(rows[0], (_, i) => (rows.length === 1 ? rows[0][i] : pool(rows.map((one) => one[i])))),
    );
    assert.deepEqual(features, expected);
    assert.equal(features[0], features[3], 'equal texts share one');
    assert.equal(encoder.batches.flat().length, 2 + 1 + 1 + 3);
    assert.equal(encoded, texts.length);
    assert.deepEqual(
      [lengths.texts, lengths.longer, lengths.incomplete, lengths.rows, lengths.longest],
      [5, 3, 0, 2 + 2 + 3, 10],
      'every use of a text counts',
    );
  }
});

test('the windows of a very long text come in parts, and lanes that end in any order change nothing', async () => {
  const text = '好坏坏'.repeat(8000);
  const long = { choice: /** @type {const} */ ('windows'), stride: 2, pooling: /** @type {const} */ ('mean') };
  const options = { maxLength: 6, long };
  const one = new ToyEncoder();
  const texts = [{ text }, { text: '好' }, { text: text.slice(0, 20_000) }];
  const expected = await encodeFeatures(texts, { tokenizer: points, encoder: one }, options);
  const many = Object.assign(new ToyEncoder(), {
    lanes: 3,
    async firstPosition(/** @type {{ids: Int32Array}[]} */ encodings) {
      if (one.batches.length % 2 === 0) await new Promise(setImmediate);
      return one.firstPosition(encodings);
    },
  });
  assert.deepEqual(await encodeFeatures(texts, { tokenizer: points, encoder: many }, options), expected);
  // (24,000 - 4) / 2 + 1 windows, each of 4 characters; of three in a row one is 好.
  const windows = Array.from({ length: 11_999 }, (_, i) => text.slice(2 * i, 2 * i + 4));
  const good = windows.reduce((sum, part) => sum + countsOf(part)[0], 0) / windows.length;
  assert.equal(expected[0][0], Math.fround(good));
});

test('an encoder that ends amid the windows of a text gives its error, and no batch begins after it', async () => {
  let begun = 0;
  const encoder = Object.assign(new ToyEncoder(), {
    lanes: 2,
    async firstPosition(/** @type {{ids: Int32Array}[]} */ encodings) {
      begun += 1;
      if (begun === 3) throw new EnvironmentProblem('An encoder ended by itself; is there enough memory?');
      await new Promise(setImmediate);
      return new ToyEncoder().firstPosition(encodings);
    },
  });
  const long = { choice: /** @type {const} */ ('windows'), stride: 2, pooling: /** @type {const} */ ('mean') };
  const work = encodeFeatures([{ text: '好'.repeat(8000) }], { tokenizer: points, encoder }, { maxLength: 6, long });
  await assert.rejects(work, /An encoder ended by itself/);
  assert.equal(begun, 3);
});

test('what was not read is said in one line', () => {
  const tally = (/** @type {any} */ long, /** @type {any[]} */ readings, /** @type {string} */ advice) => {
    const lengths = new LengthTally({ maxLength: 8, long }, advice);
    for (const reading of readings) lengths.add(reading);
    return lengths.describe();
  };
  const [short, long] = [
    { count: 1, positions: 8, unread: 0 },
    { count: 1, positions: 12, unread: 4 },
  ];
  assert.equal(tally(undefined, [short], 'x'), '');
  assert.equal(tally(undefined, [short, long], 'x'), '1 of 2 texts is longer than 8 positions and was cut; x');
  assert.equal(
    tally({ choice: 'head-tail' }, [long, long], ''),
    '2 of 2 texts are longer than 8 positions; what is between head and tail was not read',
  );
  const windows = { choice: 'windows', stride: 3, pooling: 'mean' };
  assert.equal(tally(windows, [{ ...long, count: 3, unread: 0 }], ''), '');
  assert.equal(tally(windows, [long], ''), '1 of 1 pairs is long on both sides; its shorter text was cut');
});
