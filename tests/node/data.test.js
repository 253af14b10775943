import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { readExamples } from '../../node_bridge/data.js';
import { Dataset, labelsOf } from '../../node_bridge/dataset.js';
import { UserError } from '../../node_bridge/errors.js';

const DIR = mkdtempSync(join(tmpdir(), 'data-'));
after(() => rmSync(DIR, { recursive: true }));

/** @param {string | Uint8Array} content @param {string} [name] */
function load(content, name = 'data.json') {
  const path = join(DIR, name);
  writeFileSync(path, content);
  return Dataset.read(path);
}

/** @param {Dataset} dataset */
async function examplesOf({ path }) {
  const examples = [];
  for await (const example of readExamples(path)) examples.push(example);
  return examples;
}

/** @param {string | Uint8Array} content @param {RegExp} message */
async function refuses(content, message) {
  await assert.rejects(load(content), (error) => {
    assert(error instanceof UserError, String(error));
    assert.match(error.message, message);
    assert(!error.message.includes('\n'), 'one line');
    return true;
  });
}

test('JSON lines, whatever the extension; labels as strings or integers are the same', async () => {
  const dataset = await load('{"text":"好","label":1}\n{"text":"坏","label":"0"}\n', 'a.csv');
  assert.equal(dataset.task, 'single');
  assert.equal(dataset.count, 2);
  assert.deepEqual(await examplesOf(dataset), [
    { text: '好', label: '1', line: 1 },
    { text: '坏', label: '0', line: 2 },
  ]);
});

test('LCQMC, its own shape', async () => {
  const dataset = await load('{"sentence1": "甲", "sentence2": "乙", "label": "1"}\n');
  assert.equal(dataset.task, 'pair');
  assert.deepEqual(await examplesOf(dataset), [{ text: '甲', pair: '乙', label: '1', line: 1 }]);
});

test('U+2028 and U+0085 are inside a line; CRLF, blank lines, a byte order mark are no matter', async () => {
  const dataset = await load('\uFEFF{"text":"a\u2028b\u0085c","label":1}\r\n\r\n{"text":"d","label":0}');
  assert.deepEqual((await examplesOf(dataset)).map(({ text, line }) => [text, line]), [['a\u2028b\u0085c', 1], ['d', 3]]);
});

test('tsv: quotes mean nothing; columns in any order', async () => {
  const dataset = await load('label\ttext\r\n1\t"好书" 很"好\r\n0\t坏\r\n', 'a.txt');
  assert.deepEqual(await examplesOf(dataset), [
    { text: '"好书" 很"好', label: '1', line: 2 },
    { text: '坏', label: '0', line: 3 },
  ]);
});

test('csv: quoted commas, quotes and line ends', async () => {
  const dataset = await load('sentence1,sentence2,label\n"a, ""b""","c\n\nd",x\ne,f,y\n');
  assert.deepEqual((await examplesOf(dataset)).map(({ text, pair, label }) => [text, pair, label]), [
    ['a, "b"', 'c\n\nd', 'x'],
    ['e', 'f', 'y'],
  ]);
});

test('what cannot be read is named by file and line', async () => {
  const good = '{"text":"a","label":1}\n';
  await refuses('', /data\.json is empty/);
  await refuses('\n \n', /data\.json is empty/);
  await refuses(`${good}{"text": "b", \n`, /data\.json:2: broken JSON/);
  await refuses(`${good}["b", 1]\n`, /data\.json:2: got \["b", 1\], expected a JSON object/);
  await refuses(`${good}{"label":1}\n`, /data\.json:2: got fields label, expected `text`/);
  await refuses(`${good}{"text":7,"label":1}\n`, /data\.json:2: got 7, expected `text`/);
  await refuses(`${good}{"sentence1":"a","label":1}\n`, /data\.json:2: .*`sentence2`/);
  await refuses(`${good}{"text":"b"}\n`, /data\.json:2: got no `label`/);
  await refuses(`${good}{"text":"b","label":1.5}\n`, /data\.json:2: got label 1\.5/);
  await refuses(`${good}{"text":"b","label":null}\n`, /data\.json:2: got label null/);
  await refuses(`${good}{"sentence1":"a","sentence2":"b","label":1}\n`, /data\.json:2: got a pair text after single/);
  await refuses(Buffer.from([...Buffer.from(good), 0xff, 0x0a]), /data\.json\D+2\b/);
  await refuses('just a text\nand one more\n', /neither JSON lines nor a header/);
  await refuses('text\tlabel\na\n', /data\.json:2: got 1 columns, expected 2/);
  await refuses('text,label\na,1\nb\n', /data\.json:3: broken CSV/);
  await refuses('text,label\n"a,1\n', /broken CSV/);
  await refuses('text,other\na,1\n', /data\.json:2: got no `label`/);
  await assert.rejects(Dataset.read(join(DIR, 'nowhere')), /nowhere is not a file; `nox -s export`/);
  await assert.rejects(Dataset.read(DIR), /is not a file/);
});

test('labels are ordered by themselves, not by the file', async () => {
  const whole = await load('{"text":"a","label":10}\n{"text":"b","label":"2"}\n{"text":"c","label":-1}\n');
  assert.deepEqual(labelsOf(whole), ['-1', '2', '10']);
  const words = await load('{"text":"a","label":"差"}\n{"text":"b","label":"好"}\n');
  assert.deepEqual(labelsOf(words), ['好', '差'].sort());
  assert.deepEqual([...words.targets(['好', '差'])], [1, 0]);
});

test('one label only, or one that training does not know', async () => {
  const one = await load('{"text":"a","label":1}\n{"text":"b","label":1}\n');
  assert.throws(() => labelsOf(one), /one label only, "1"/);
  assert.throws(() => one.targets(['0', '2']), /data\.json:1: got label "1", expected .*: 0, 2/);
});

test('a split parts by text: no text is on both sides, whatever its label and however often it stands there', async () => {
  const rows = Array.from({ length: 4000 }, (_, i) => `{"text":"评论${i % 2500}","label":${i % 2}}\n`);
  const whole = await load(rows.join(''));
  const parts = whole.split(0.25, 1);
  assert.equal(parts[0].count + parts[1].count, 4000);
  // 2,500 texts, each in the second part by a chance of a quarter: 625 ± 6 deviations of 22.
  const sides = await Promise.all(
    parts.map(async (part) => {
      const texts = [];
      for await (const { text } of part.texts()) texts.push(text);
      assert.equal(texts.length, part.count);
      return new Set(texts);
    }),
  );
  assert(Math.abs(sides[1].size - 625) < 130, String(sides[1].size));
  assert.equal(new Set([...sides[0], ...sides[1]]).size, 2500);
  assert.equal(sides[0].size + sides[1].size, 2500);
  assert.throws(() => whole.split(1e-9, 1), /too few for such a --split/);
});
