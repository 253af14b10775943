/** Encodings of data files and of stdin; the bytes are Python's. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { readExamples } from '../../node_bridge/data/examples.js';
import { parseEncoding } from '../../node_bridge/data/encodings.js';
import { readLines } from '../../node_bridge/data/lines.js';
import { UserError } from '../../node_bridge/support/errors.js';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const DIR = mkdtempSync(join(tmpdir(), 'encodings-'));
after(() => rmSync(DIR, { recursive: true }));

const TABLE = 'text,label\n房间干净，服务热情,1\n床很硬,0\n';
/** Of that table, by Python's codec gb18030; gbk gives the same. */
const GBK = Buffer.from('746578742c6c6162656c0ab7bfbce4b8c9bebba3acb7fecef1c8c8c7e92c310ab4b2badcd3b22c300a', 'hex');
/** 朱镕基喆囍𠀀, of which GBK lacks the last. */
const RARE = Buffer.from('d6ece946bbf986b487d695328236', 'hex');
/** 房間乾淨，服務熱情 */
const BIG5 = Buffer.from('a9d0b6a1b0aeb262a141aa41b0c8bcf6b1a1', 'hex');

/** @param {Uint8Array} bytes @param {string} [encoding] */
async function load(bytes, encoding = 'utf-8') {
  const path = join(DIR, 'data.csv');
  writeFileSync(path, bytes);
  const examples = [];
  for await (const { text, label } of readExamples(path, { encoding: parseEncoding(encoding) })) examples.push([text, label]);
  return examples;
}

/** @param {Uint8Array} bytes @param {string} encoding @param {RegExp} message */
async function refuses(bytes, encoding, message) {
  await assert.rejects(load(bytes, encoding), (error) => {
    assert(error instanceof UserError, String(error));
    assert.match(error.message, message);
    assert(!error.message.includes('\n'));
    return true;
  });
}

/** @param {string} text */
const bigEndian = (text) => Buffer.from(text, 'utf16le').swap16();
const ROWS = [
  ['房间干净，服务热情', '1'],
  ['床很硬', '0'],
];

test('each encoding is read by each of its names', async () => {
  for (const name of ['gb18030', 'GBK', 'gb2312', 'cp936']) assert.deepEqual(await load(GBK, name), ROWS);
  const rare = Buffer.concat([Buffer.from('text,label\n'), RARE, Buffer.from(',1\n')]);
  assert.deepEqual(await load(rare, 'gb18030'), [['朱镕基喆囍𠀀', '1']]);
  const big5 = Buffer.concat([Buffer.from('text,label\n'), BIG5, Buffer.from(',1\n')]);
  assert.deepEqual(await load(big5, 'big5'), [['房間乾淨，服務熱情', '1']]);
  for (const table of [TABLE, `\uFEFF${TABLE}`]) {
    assert.deepEqual(await load(Buffer.from(table), 'utf8'), ROWS);
    assert.deepEqual(await load(Buffer.from(table, 'utf16le'), 'utf-16le'), ROWS);
    assert.deepEqual(await load(bigEndian(table), 'utf-16be'), ROWS);
    assert.deepEqual(await load(Buffer.from(table, 'utf16le'), 'utf-16'), ROWS);
  }
  assert.deepEqual(await load(bigEndian(`\uFEFF${TABLE}`), 'utf-16'), ROWS);
  // U+4E0A has the byte of a line end in it.
  assert.deepEqual(await load(Buffer.from('text,label\n上上,1\n', 'utf16le'), 'utf-16'), [['上上', '1']]);
  assert.throws(
    () => parseEncoding('utf-7'),
    /--encoding to be one of utf-8, gb18030, gbk, big5, utf-16, utf-16le, utf-16be, got `utf-7`/,
  );
});

test('a JSON array and JSON lines are read in another encoding', async () => {
  const json = JSON.stringify([
    { text: '上\n下', label: 1 },
    { text: '好', label: 0 },
  ]);
  const expected = [
    ['上\n下', '1'],
    ['好', '0'],
  ];
  assert.deepEqual(await load(Buffer.from(json, 'utf16le'), 'utf-16'), expected);
  const gbk = Buffer.concat([Buffer.from('[{"text":"'), Buffer.from('bac3cae9', 'hex'), Buffer.from('","label":1}]')]);
  assert.deepEqual(await load(gbk, 'gbk'), [['好书', '1']]);
  await refuses(gbk, 'utf-8', /is not UTF-8 but GB18030 \(GBK\), it reads “\[\{"text":"好书","label”; add --encoding gb18030/);
});

test('a file in another encoding is one error, with the option that fixes it', async () => {
  await refuses(
    GBK,
    'utf-8',
    /^\S+data\.csv is not UTF-8 but GB18030 \(GBK\), it reads “房间干净，服务热情,1”; add --encoding gb18030$/,
  );
  await refuses(
    Buffer.concat([Buffer.from('text,label\n'), BIG5, Buffer.from(',1\n')]),
    'utf-8',
    /is not UTF-8 but Big5, .*; add --encoding big5$/,
  );
  await refuses(Buffer.from(`\uFEFF${TABLE}`, 'utf16le'), 'utf-8', /byte order mark of UTF-16; add --encoding utf-16$/);
  await refuses(bigEndian(`\uFEFF${TABLE}`), 'gbk', /byte order mark of UTF-16; add --encoding utf-16$/);
  await refuses(Buffer.from(TABLE, 'utf16le'), 'utf-8', /zero bytes as UTF-16 has them; add --encoding utf-16le$/);
  await refuses(bigEndian(TABLE), 'utf-8', /zero bytes as UTF-16 has them; add --encoding utf-16be$/);
  await refuses(Buffer.from(TABLE), 'gbk', /is UTF-8, not gb18030; leave --encoding away$/);
  await refuses(Buffer.from(TABLE), 'utf-16', /is UTF-8, not utf-16; leave --encoding away$/);
  await refuses(
    Buffer.from('PK\x03\x04and more', 'latin1'),
    'utf-8',
    /is an Excel workbook or another zip archive, not text; save it as CSV/,
  );
  await refuses(Buffer.from('PAR1and more'), 'utf-8', /is Parquet, not text; write it as JSON lines/);
});

test('GBK that begins after a million bytes of ASCII is detected too', async () => {
  const ascii = Buffer.from(`text,label\n${'plain text,1\n'.repeat(80_000)}`);
  await refuses(Buffer.concat([ascii, GBK.subarray(11)]), 'utf-8', /is not UTF-8 but GB18030/);
});

test('a broken line is named by its number, in either encoding', async () => {
  const broken = Buffer.concat([Buffer.from(TABLE), Buffer.from([0xe5, 0xa5]), Buffer.from(',1\n')]);
  await refuses(broken, 'utf-8', /data\.csv:4: invalid UTF-8; /);
  // The one line that is not ASCII, cut in its last character.
  await refuses(
    Buffer.concat([Buffer.from('text,label\n好书好'), Buffer.from([0xe5, 0xa5]), Buffer.from(',1\n')]),
    'utf-8',
    /data\.csv:2: invalid UTF-8; /,
  );
  await refuses(
    Buffer.concat([GBK, Buffer.from([0xff]), Buffer.from(',1\n')]),
    'gbk',
    /data\.csv:4: invalid gb18030; is --encoding right\?/,
  );
  await refuses(
    Buffer.from('text,label\n\ud800b,1\n', 'utf16le'),
    'utf-16',
    /data\.csv: invalid utf-16 at byte 0 or soon after it/,
  );
});

test('no embedded review is mistaken for another encoding, wherever it is cut', async () => {
  const reviews = readFileSync(join(ROOT, 'artifacts', 'data', 'dev.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).text);
  let broken = 0;
  for (const [i, text] of reviews.entries()) {
    const bytes = Buffer.from(text).subarray(0, 1 + ((7 * i) % 60));
    const read = async () => {
      for await (const line of readLines(/** @type {any} */ ([bytes]), 'stdin')) assert.ok(text.startsWith(line));
    };
    await read().catch((error) => {
      broken += 1;
      assert.match(error.message, /^stdin:\d+: invalid UTF-8; /);
    });
  }
  assert(broken > 300, String(broken));
});
