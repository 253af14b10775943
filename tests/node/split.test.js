import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { Dataset } from '../../node_bridge/data/dataset.js';

const DIR = mkdtempSync(join(tmpdir(), 'split-'));
after(() => rmSync(DIR, { recursive: true }));

/** @param {[string, string][]} rows text and label */
function load(rows) {
  const path = join(DIR, 'data.jsonl');
  writeFileSync(path, rows.map(([text, label]) => `${JSON.stringify({ text, label })}\n`).join(''));
  return Dataset.read(path);
}

/** @param {Dataset} part */
async function textsOf(part) {
  const texts = [];
  for await (const { text } of part.texts()) texts.push(text);
  assert.equal(texts.length, part.count);
  return texts;
}

/** @param {Dataset} part */
const countsOf = ({ names, labelCounts }) => Object.fromEntries(names.map(({ name }, i) => [name, labelCounts[i]]));

/** @param {number} count @param {(i: number) => string} label @returns {[string, string][]} */
const reviews = (count, label) => Array.from({ length: count }, (_, i) => [`评论${i}`, label(i)]);

test('both parts have the same shares of labels, to within one text', async () => {
  const whole = await load(reviews(1000, (i) => (i % 50 === 0 ? '少' : i % 4 === 0 ? '中' : '多')));
  assert.deepEqual(countsOf(whole), { 少: 20, 中: 240, 多: 740 });
  const [train, dev] = whole.split(0.15, 1);
  assert.deepEqual(countsOf(dev), { 少: 3, 中: 36, 多: 111 });
  assert.deepEqual(countsOf(train), { 少: 17, 中: 204, 多: 629 });
  // 12.5, 12.5 and 75 add up to 100: largest remainders.
  const odd = (await load(reviews(800, (i) => (i < 100 ? 'a' : i < 200 ? 'b' : 'c')))).split(0.125, 1)[1];
  assert.deepEqual(countsOf(odd), { a: 13, b: 12, c: 75 });
});

test('equal texts stay together, with any labels, and no text is lost', async () => {
  const whole = await load(Array.from({ length: 4000 }, (_, i) => [`评论${i % 2500}`, String(i % 2)]));
  const parts = whole.split(0.25, 1);
  assert.equal(parts[0].count + parts[1].count, 4000);
  assert(Math.abs(parts[1].count - 1000) <= 2, String(parts[1].count));
  const sides = (await Promise.all(parts.map(textsOf))).map((texts) => new Set(texts));
  assert.equal(sides[0].size + sides[1].size, 2500);
  assert.equal(new Set([...sides[0], ...sides[1]]).size, 2500);
});

test('the split depends on the seed and not on the order of the file', async () => {
  const rows = reviews(200, (i) => String(i % 2));
  const dev = async (/** @type {[string, string][]} */ examples, /** @type {number} */ seed) =>
    (await textsOf((await load(examples)).split(0.2, seed)[1])).sort();
  const first = await dev(rows, 1);
  assert.equal(first.length, 40);
  assert.deepEqual(await dev(rows, 1), first);
  assert.deepEqual(await dev(rows.toReversed(), 1), first);
  const second = await dev(rows, 2);
  const both = second.filter((text) => first.includes(text)).length;
  assert(both < 20, `of 40 texts 8 are expected in both, got ${both}`);
});

test('every label stays in the training part', async () => {
  const rare = (
    await load([
      ['a', 'x'],
      ['b', 'x'],
      ['c', 'y'],
      ['d', 'z'],
      ['d', 'z'],
    ])
  ).split(0.9, 1);
  assert.deepEqual(countsOf(rare[0]), { x: 1, y: 1, z: 2 });
  assert.deepEqual(rare[0].targets(['x', 'y', 'z']).length, 4);
  // The only text of label w has label x before: it may not go with the dev part.
  const rows = /** @type {[string, string][]} */ ([
    ['t', 'x'],
    ['t', 'w'],
    ...reviews(3, () => 'x'),
    ...reviews(3, () => 'v').map(([text]) => [`${text}!`, 'v']),
  ]);
  for (let seed = 0; seed < 20; seed += 1) {
    const [train] = (await load(rows)).split(0.6, seed);
    assert.equal(countsOf(train).w, 1, String(seed));
  }
});

test('too few texts for a split are refused', async () => {
  const whole = await load(reviews(40, (i) => String(i % 2)));
  assert.throws(() => whole.split(1e-9, 1), /has 40 examples, too few for such a --split; give --dev instead/);
  const pairs = await load([
    ['a', 'x'],
    ['b', 'y'],
  ]);
  assert.throws(() => pairs.split(0.5, 1), /too few for such a --split/);
});
