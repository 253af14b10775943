/** predict.js as a person types it, on the embedded bundle: broken lines, slow writers, order. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const bundle = join(root, 'artifacts', 'bundle', 'albert_tiny');
const dir = mkdtempSync(join(tmpdir(), 'predict-'));
const single = join(dir, 'single');
const pair = join(dir, 'pair');
after(() => rmSync(dir, { recursive: true }));

/** @param {string} out @param {object[]} rows */
function train(out, rows) {
  const data = join(dir, 'data.jsonl');
  writeFileSync(data, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const settings = [
    '--bundle',
    bundle,
    '--train',
    data,
    '--dev',
    data,
    '--epochs',
    '1',
    '--max-length',
    '16',
    '--backend',
    'wasm',
  ];
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'node_bridge', 'train.js'), ...settings, '--out', out], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
}

before(() => {
  train(
    single,
    ['坏', '好', '平'].map((label) => ({ text: `${label}书`, label })),
  );
  train(
    pair,
    ['坏', '好'].map((label) => ({ sentence1: '书', sentence2: label, label })),
  );
});

/** @param {string} model @param {string[]} options wasm's answers do not depend on the neighbours */
const command = (model, options) => [join(root, 'node_bridge', 'predict.js'), '--model', model, '--backend', 'wasm', ...options];

/** @param {string} model @param {string | Buffer} input @param {string[]} options */
function predict(model, input, ...options) {
  const { status, stdout, stderr } = spawnSync(process.execPath, command(model, options), { input, encoding: 'utf8' });
  assert.ok(stdout === '' || stdout.endsWith('\n'));
  return {
    status,
    rows: stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line)),
    stderr,
  };
}

test('a broken line gives an error line in its order, and the rest goes on', () => {
  const bytes = Buffer.concat([Buffer.from('好书\n\n'), Buffer.from([0x61, 0xff]), Buffer.from('\na\u2028b\r\n坏书')]);
  const { status, rows, stderr } = predict(single, bytes);
  assert.equal(status, 2);
  assert.deepEqual(
    rows.map(({ text }) => text),
    ['好书', '', undefined, 'a\u2028b\r', '坏书'],
  );
  assert.deepEqual(rows[2], { line: 3, error: 'invalid UTF-8; convert the file to UTF-8, or name its encoding with --encoding' });
  assert.match(
    stderr,
    /^stdin:3: invalid UTF-8; convert the file to UTF-8, or name its encoding with --encoding\nerror: 1 of 5 lines are broken; [^\n]+\n$/,
  );

  const alone = predict(single, '', '坏书', '好书');
  assert.equal(alone.status, 0);
  assert.deepEqual(alone.rows, [rows[4], rows[0]], 'as if there had been no broken line');
});

const LINES = [
  { line: '\uFEFF{"text":"好书","id":7}' },
  { line: '', error: /^broken JSON/ },
  { line: '{"text":', error: /^broken JSON/ },
  { line: '["好书"]', error: /^got \["好书"\], expected a JSON object/ },
  { line: '{"body":"好书"}', error: /^got fields body, expected `text`/ },
  { line: '{"text":["好书"]}', error: /^got \["好书"\], expected `text` to be a string/ },
  { line: '{"sentence1":"好","sentence2":"书"}', error: /^got a pair, expected a single text/ },
  { line: '{"text":"\\ud800"}', error: /^the text has a lone surrogate at position 0/ },
  { line: '{"text":"坏书"}' },
];

test('--jsonl: each kind of broken line gives an error with its line number', () => {
  const { status, rows, stderr } = predict(single, LINES.map(({ line }) => `${line}\n`).join(''), '--jsonl');
  assert.equal(status, 2);
  assert.equal(rows.length, LINES.length);
  const said = stderr.split('\n');
  LINES.forEach(({ error }, i) => {
    if (error === undefined) return;
    assert.deepEqual(Object.keys(rows[i]), ['line', 'error']);
    assert.equal(rows[i].line, i + 1);
    assert.match(rows[i].error, error);
    assert.ok(said.includes(`stdin:${i + 1}: ${rows[i].error}`), stderr);
  });
  assert.deepEqual([rows[0].text, rows[0].id, rows[8].text], ['好书', 7, '坏书']);
  assert.match(stderr, /\nerror: 7 of 9 lines are broken; /);
});

test('--jsonl: other fields are in the answers, none is lost, and usual names are known', () => {
  const others = { id: 7, 来源: { a: [1, null] }, label: '好', probability: 'x', top: 1, input_top: 2, line: 3 };
  const inputs = [{ text: '好书', ...others }, { sentence: '好书', label: 0 }, { text: '好书' }];
  const { status, rows, stderr } = predict(single, inputs.map((input) => `${JSON.stringify(input)}\n`).join(''), '--jsonl');
  assert.equal(status, 0, stderr);
  const [first, second, plain] = rows;
  assert.deepEqual(Object.keys(plain), ['text', 'label', 'probability', 'probabilities']);
  const renamed = {
    id: 7,
    来源: { a: [1, null] },
    input_label: '好',
    input_probability: 'x',
    input_input_top: 1,
    input_top: 2,
    input_line: 3,
  };
  assert.deepEqual(first, { ...plain, ...renamed });
  assert.deepEqual(second, { ...plain, input_label: 0 });
  const [named] = predict(single, '{"text":"坏书","content":"好书"}\n', '--jsonl', '--columns', 'content=text').rows;
  assert.deepEqual(named, { ...plain, input_text: '坏书' });
  const two = predict(single, '{"text":"坏书","content":"好书"}\n', '--jsonl');
  assert.deepEqual([two.status, Object.keys(two.rows[0])], [2, ['line', 'error']]);
  assert.match(
    two.rows[0].error,
    /^got `text` and `content`, of which more than one could be the text; choose with --columns text=text/,
  );
  for (const wrong of [
    ['--columns', 'content=text'],
    ['--jsonl', '--columns', 'label,text'],
  ]) {
    const refused = predict(single, '', ...wrong);
    assert.deepEqual([refused.status, refused.rows], [2, []]);
    assert.match(refused.stderr, /^error: Expected --columns by name and with --jsonl[^\n]+\n$/);
  }
});

test('other fields stay with their texts over many batches and beside broken lines', () => {
  const lines = Array.from({ length: 2500 }, (_, i) =>
    i % 7 === 0 ? '{"id":0}' : JSON.stringify({ id: i, text: '书'.repeat(i % 3) }),
  );
  const { rows } = predict(single, lines.join('\n'), '--jsonl');
  rows.forEach((row, i) => assert.equal(i % 7 === 0 ? row.line : row.id, i % 7 === 0 ? i + 1 : i));
  assert.equal(rows.length, 2500);
});

test('stdin in another encoding is one error, with the option that fixes it', () => {
  const gbk = Buffer.from('bac3cae90abbb5cae90a', 'hex'); // 好书, 坏书
  const refused = predict(single, gbk);
  assert.deepEqual([refused.status, refused.rows], [2, []]);
  assert.equal(refused.stderr, 'error: stdin is not UTF-8 but GB18030 (GBK), it reads “好书”; add --encoding gb18030\n');
  const expected = predict(single, '好书\n坏书\n').rows;
  assert.deepEqual(predict(single, gbk, '--encoding', 'gbk').rows, expected);
  const utf16 = Buffer.from('\uFEFF好书\n坏书\n', 'utf16le');
  assert.deepEqual(predict(single, utf16, '--encoding', 'utf-16').rows, expected);
  assert.match(
    predict(single, utf16).stderr,
    /^error: stdin begins with the byte order mark of UTF-16; add --encoding utf-16\n$/,
  );
  const objects = Buffer.concat([
    Buffer.from('{"text":"'),
    gbk.subarray(0, 4),
    Buffer.from('","id":"'),
    gbk.subarray(5, 9),
    Buffer.from('"}\n'),
  ]);
  assert.deepEqual(predict(single, objects, '--jsonl', '--encoding', 'gb18030').rows, [{ ...expected[0], id: '坏书' }]);
  const broken = predict(single, Buffer.concat([gbk, Buffer.from([0xff, 0x0a]), gbk]), '--encoding', 'gbk');
  assert.deepEqual([broken.status, broken.rows.length], [2, 5]);
  assert.deepEqual(broken.rows[2], { line: 3, error: 'invalid gb18030; is --encoding right?' });
  assert.match(predict(single, '', '--encoding', 'latin').stderr, /^error: Expected --encoding to be one of utf-8, gb18030/);
});

test('--strict stops at the first broken line, after all lines before it, though stdin is open', async () => {
  const child = spawn(process.execPath, command(single, ['--strict', '--jsonl']));
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  child.stdin.write('{"text":"好书"}\n{"text":"坏书"}\n{"sentence1":"好","sentence2":"书"}\n{"text":"书"}\n');
  // stdin stays open: it must not be waited for.
  const [status] = await once(child, 'close');
  assert.equal(status, 2);
  assert.deepEqual(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).text),
    ['好书', '坏书'],
  );
  assert.equal(stderr, 'error: stdin:3: got a pair, expected a single text, as the classifier was trained on\n');
});

test('--top gives labels in order instead of all probabilities', () => {
  const [all] = predict(single, '好书\n').rows;
  const [two] = predict(single, '好书\n', '--top', '2').rows;
  const ranked = Object.entries(all.probabilities).sort(([, a], [, b]) => b - a);
  assert.equal(ranked.length, 3);
  const top = ranked.slice(0, 2).map(([label, probability]) => ({ label, probability }));
  assert.deepEqual(two, { text: '好书', ...top[0], top });
  const { status, stderr } = predict(single, '好书\n', '--top', 'two');
  assert.equal(status, 2);
  assert.match(stderr, /^error: Expected --top to be a whole number from 1 to \d+, got `two`\n$/);
});

test('a slow writer gets each answer before it writes the next line', async () => {
  const child = spawn(process.execPath, command(single, []), { stdio: ['pipe', 'pipe', 'inherit'] });
  let stdout = '';
  for (const text of ['好书', '坏书', '书']) {
    child.stdin.write(`${text}\n`);
    while (!stdout.includes(`{"text":"${text}"`)) stdout += (await once(child.stdout, 'data'))[0];
  }
  child.stdin.end();
  assert.deepEqual(await once(child, 'close'), [0, null]);
});

test('a reader that closes the pipe ends predict.js without an error', async () => {
  const child = spawn(process.execPath, command(single, []));
  let stderr = '';
  child.stderr.on('data', (chunk) => (stderr += chunk));
  child.stdin.on('error', () => {});
  child.stdin.write('好书\n'.repeat(50_000));
  await once(child.stdout, 'data');
  child.stdout.destroy();
  assert.deepEqual(await once(child, 'close'), [0, null], stderr);
  assert.equal(stderr, '');
});

test('--workers changes no bit and no order, and the program ends by itself', () => {
  const input = Array.from({ length: 40 }, (_, i) => `${'好坏书'.repeat(i % 5)}${i}\n`).join('');
  const [one, three] = ['1', '3'].map((workers) => predict(single, input, '--workers', workers));
  assert.deepEqual([one.status, three.status], [0, 0], three.stderr);
  assert.equal(three.rows.length, 40);
  assert.deepEqual(three.rows, one.rows);
});

test('impossible options are refused before anything is read', () => {
  for (const options of [[], ['书']]) {
    const { status, rows, stderr } = predict(pair, '书\n', ...options);
    assert.deepEqual([status, rows], [2, []]);
    assert.match(stderr, /^error: This classifier takes pairs; give --jsonl[^\n]+\n$/);
  }
  const none = predict(single, '书\n', '--workers', '0');
  assert.equal(none.status, 2);
  assert.match(none.stderr, /^error: Expected --workers to be a whole number from 1/);
  const { status, rows } = predict(pair, '{"sentence1":"书","sentence2":"好"}\n{"text":"书"}\n', '--jsonl');
  assert.equal(status, 2);
  assert.equal(rows[0].sentence2, '好');
  assert.match(rows[1].error, /^got a single text, expected a pair/);
});
