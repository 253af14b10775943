import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { Dataset, listLabels } from '../../node_bridge/data/dataset.js';
import { readExamples } from '../../node_bridge/data/examples.js';
import { UserError } from '../../node_bridge/support/errors.js';

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
  for await (const { written, ...example } of readExamples(path)) examples.push(example);
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

test('JSON lines with any file extension; labels as strings and integers are the same', async () => {
  const dataset = await load('{"text":"好","label":1}\n{"text":"坏","label":"0"}\n', 'a.csv');
  assert.equal(dataset.task, 'single');
  assert.equal(dataset.count, 2);
  assert.deepEqual(await examplesOf(dataset), [
    { text: '好', label: '1', line: 1 },
    { text: '坏', label: '0', line: 2 },
  ]);
});

test('the JSON format of LCQMC is read', async () => {
  const dataset = await load('{"sentence1": "甲", "sentence2": "乙", "label": "1"}\n');
  assert.equal(dataset.task, 'pair');
  assert.deepEqual(await examplesOf(dataset), [{ text: '甲', pair: '乙', label: '1', line: 1 }]);
});

test('U+2028 and U+0085 do not end a line; CRLF, blank lines and a byte order mark are accepted', async () => {
  const dataset = await load('\uFEFF{"text":"a\u2028b\u0085c","label":1}\r\n\r\n{"text":"d","label":0}');
  assert.deepEqual(
    (await examplesOf(dataset)).map(({ text, line }) => [text, line]),
    [
      ['a\u2028b\u0085c', 1],
      ['d', 3],
    ],
  );
});

test('TSV: quotes have no meaning; columns in any order', async () => {
  const dataset = await load('label\ttext\r\n1\t"好书" 很"好\r\n0\t坏\r\n', 'a.txt');
  assert.deepEqual(await examplesOf(dataset), [
    { text: '"好书" 很"好', label: '1', line: 2 },
    { text: '坏', label: '0', line: 3 },
  ]);
});

test('CSV: quoted commas, quotes and line ends', async () => {
  const dataset = await load('sentence1,sentence2,label\n"a, ""b""","c\n\nd",x\ne,f,y\n');
  assert.deepEqual(
    (await examplesOf(dataset)).map(({ text, pair, label }) => [text, pair, label]),
    [
      ['a, "b"', 'c\n\nd', 'x'],
      ['e', 'f', 'y'],
    ],
  );
});

test('\\r ends lines if the file has no \\n; otherwise it is a character', async () => {
  const old = await load('text,label\r"a\rb",1\rc,0\r');
  assert.deepEqual(await examplesOf(old), [
    { text: 'a\rb', label: '1', line: 2 },
    { text: 'c', label: '0', line: 4 },
  ]);
  const lines = await load('{"text":"a","label":1}\r{"text":"b","label":0}');
  assert.deepEqual(
    (await examplesOf(lines)).map(({ line }) => line),
    [1, 2],
  );
  const table = await load('text\tlabel\r1\ta\r2\tb');
  assert.equal(table.count, 2);
  const mixed = await load('text\tlabel\na\rb\t1\nc\t0\n');
  assert.deepEqual(
    (await examplesOf(mixed)).map(({ text }) => text),
    ['a\rb', 'c'],
  );
});

test('white space is removed from labels but not from texts; the label 1.0 is 1; both are counted', async () => {
  const dataset = await load('text,label\n a ,1\nb,1 \nc, \u30001\nd,1.0\n e,0.00\n\u3000,-2.0 \n');
  const examples = await examplesOf(dataset);
  assert.deepEqual(
    examples.map(({ label }) => label),
    ['1', '1', '1', '1', '0', '-2'],
  );
  assert.deepEqual(
    examples.map(({ text }) => text),
    [' a ', 'b', 'c', 'd', ' e', '\u3000'],
  );
  assert.deepEqual(dataset.oddities, {
    trimmed: { count: 3, line: 3 },
    whole: { count: 3, line: 5 },
    blank: { count: 1, line: 7 },
  });
  const floats = await load('{"text":"a","label":1.0}\n{"text":"b","label":"1"}\n{"text":"c","label":"1.5"}\n');
  assert.deepEqual(listLabels(floats), ['1', '1.5']);
});

test('a missing label is refused with its line, in any way that programs write it', async () => {
  for (const label of ['', ' ', 'nan', 'NaN', 'null', 'NULL', '<NA>', '#N/A']) {
    await refuses(`text,label\na,1\nb,${label}\n`, /data\.json:3: got label "[^"]*", expected a string or an integer/);
  }
  for (const label of ['null', '""', '" "', '"NaN"', 'true', '[1]', '{}', '1e300']) {
    await refuses(
      `{"text":"a","label":1}\n{"text":"b","label":${label}}\n`,
      /data\.json:2: got label .*, expected a string or an integer/,
    );
  }
  await refuses('{"text":"a","label":1}\n{"text":"NaN","label": NaN}\n', /data\.json:2: broken JSON: NaN is no JSON/);
  const none = await load('text,label\na,None\nb,NA\n');
  assert.deepEqual(listLabels(none), ['NA', 'None'], 'these are names of classes too');
});

test('unreadable data is named by file and line', async () => {
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
  await refuses('just a text\nand one more\n', /data\.json:1: neither JSON nor a table with a header/);
  await refuses('text\tlabel\na\n', /data\.json:2: got 1 columns, expected 2/);
  await refuses('text,label\na,1\nb\n', /data\.json:3: got 1 columns, expected 2 as in the header: text, label/);
  await refuses('text,label\n"a,1\n', /data\.json:2: broken CSV, the quote that begins a cell here is never closed/);
  await refuses('text,other\na,1\n', /data\.json:1: the first line does not say which column is the label: got "text other"/);
  await assert.rejects(Dataset.read(join(DIR, 'nowhere')), /nowhere is not a file; `nox -s export`/);
  await assert.rejects(Dataset.read(DIR), /is a directory, expected a file/);
});

test('the order of labels does not depend on the file', async () => {
  const whole = await load('{"text":"a","label":10}\n{"text":"b","label":"2"}\n{"text":"c","label":-1}\n');
  assert.deepEqual(listLabels(whole), ['-1', '2', '10']);
  const words = await load('{"text":"a","label":"差"}\n{"text":"b","label":"好"}\n');
  assert.deepEqual(listLabels(words), ['好', '差'].sort());
  assert.deepEqual([...words.targets(['好', '差'])], [1, 0]);
});

test('a single label, and a dev label that training lacks, are refused', async () => {
  const one = await load('{"text":"a","label":1}\n{"text":"b","label":1}\n');
  assert.throws(() => listLabels(one), /one label only, "1"/);
  assert.throws(
    () => one.targets(['0', '2']),
    /data\.json:1: the label "1" is in no training text \(dev texts that have it: 2; other such labels: 0\), expected one of 0, 2; /,
  );
});
