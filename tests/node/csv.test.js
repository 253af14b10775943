import { parse } from 'csv-parse/sync';
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readCsvRecords } from '../../node_bridge/data/table.js';
import { UserError } from '../../node_bridge/support/errors.js';

/** @param {string} content @param {string} [separator] */
async function records(content, separator = ',') {
  const lines = content.split('\n').map((line, i) => ({ content: line, line: i + 1 }));
  if (content.endsWith('\n')) lines.pop();
  const found = [];
  for await (const record of readCsvRecords(lines, { path: 'a.csv', separator, lineEnd: '\n' })) found.push(record);
  return found;
}

/** @param {number} seed numbers from 0 to below `end`, the same in every run */
function randomFrom(seed) {
  let state = seed;
  return (/** @type {number} */ end) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * end);
  };
}

test('valid CSV gives the same records and line numbers as csv-parse', async () => {
  const random = randomFrom(7);
  const pieces = ['好', '"', ',', ';', '\n', '\r\n', ' ', 'a', '\u2028', '""'];
  for (let round = 0; round < 300; round += 1) {
    const separator = random(2) === 0 ? ',' : ';';
    const end = random(2) === 0 ? '\n' : '\r\n';
    const cell = () => {
      const text = Array.from({ length: random(6) }, () => pieces[random(pieces.length)]).join('');
      return /["\r\n,;]/.test(text) || random(3) === 0 ? `"${text.replaceAll('"', '""')}"` : text;
    };
    // Three cells, lest a row be one blank cell, which both pass over.
    const rows = Array.from({ length: 1 + random(5) }, () => ['x', cell(), cell()].join(separator));
    const content = rows.join(end) + (random(2) === 0 ? end : '');
    const expected = parse(content, { delimiter: separator, record_delimiter: ['\n', '\r\n'] });
    assert.deepEqual(
      (await records(content, separator)).map(({ cells }) => cells),
      expected,
      JSON.stringify(content),
    );
  }
  const lines = (await records('a,b\n"c\n\nd",e\n\nf,g\n')).map(({ line }) => line);
  assert.deepEqual(lines, [1, 2, 6]);
});

test('a quote inside an unquoted cell is a plain character', async () => {
  const found = await records('他说"好"了,1\n5" 屏,0\n "a",2\r\n');
  assert.deepEqual(
    found.map(({ cells }) => cells),
    [
      ['他说"好"了', '1'],
      ['5" 屏', '0'],
      [' "a"', '2'],
    ],
  );
});

const BROKEN = /** @type {[string, RegExp][]} */ ([
  ['a,1\n"好"书,1\n', /^a\.csv:2: broken CSV, got "书,1" after the quote that closes a cell/],
  // Taken as it stands, the quote of line 2 would make one row of two.
  ['a,1\n"好,1\n"坏,0\nx,1\n', /^a\.csv:3: broken CSV, got "坏,0" after/],
  ['a,1\n\n"好,1\nb,0\n', /^a\.csv:3: broken CSV, the quote that begins a cell here is never closed/],
  ['a,1\n"好" ,1\n', /^a\.csv:2: broken CSV, got " ,1" after/],
]);
test('an unclosed quote is refused with its line and swallows no row', async () => {
  for (const [content, message] of BROKEN) {
    await assert.rejects(
      records(content),
      (error) => error instanceof UserError && message.test(error.message) && !error.message.includes('\n'),
    );
  }
});

test('csv-parse accepts an unclosed quote where stray quotes are allowed, which is why it is not used', async () => {
  const content = 'x,9\n"好,1\nb,0\nc "坏,1\n';
  assert.deepEqual(parse(content, { relax_quotes: true }), [
    ['x', '9'],
    ['"好,1\nb,0\nc "坏', '1'],
  ]);
  await assert.rejects(records(content), /^Error: a\.csv:4: broken CSV/);
});

test('an unclosed cell does not load the rest of a large file into memory', async () => {
  let read = 0;
  const many = async function* () {
    yield { content: '"a', line: 1 };
    for (; read < 1e6; read += 1) yield { content: '书'.repeat(1000), line: read + 2 };
  };
  const all = async () => {
    for await (const record of readCsvRecords(many(), { path: 'a.csv', separator: ',', lineEnd: '\n' }))
      assert.fail(record.cells[0]);
  };
  await assert.rejects(all(), /a\.csv:1: .*never closed/);
  assert(read < 20_000, String(read));
});
