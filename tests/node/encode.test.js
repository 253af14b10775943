/** `encode.js` on models whose outputs are known by arithmetic. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { Encoder } from '../../node_bridge/encoder/encoder.js';
import { readSafetensors } from '../../node_bridge/support/safetensors.js';
import { Tokenizer } from '../../node_bridge/tokenizer/index.js';
import { vectorOf, WIDTH, writeToyBundle } from './toy_bundle.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const program = join(root, 'node_bridge', 'encode.js');
const embedded = join(root, 'artifacts', 'bundle', 'albert_tiny');
const dir = mkdtempSync(join(tmpdir(), 'encode-'));
const toy = join(dir, 'toy');
const TEXTS = ['好', '这本书很好', '', '很好的书', '房间很小'];

/** @type {Tokenizer} */
let tokenizer;
before(() => {
  writeToyBundle(toy);
  tokenizer = Tokenizer.fromBundle(Bundle.open(toy));
});
after(() => rmSync(dir, { recursive: true }));

/** @param {string[]} options @param {string} [input] @param {string} [bundle] */
function command(options, input = `${TEXTS.join('\n')}\n`, bundle = toy) {
  const args = [program, '--bundle', bundle, '--backend', 'wasm', ...options];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { input, encoding: 'utf8', maxBuffer: 2 ** 26 });
  return { status, stdout, stderr };
}

/** A folder of its own, to see what is left in it. @param {string} name */
function folder(name) {
  const path = join(dir, name);
  mkdirSync(path);
  return path;
}

let runs = 0;
/** What the command writes. @param {string[]} options @param {string} [input] @param {string} [bundle] */
function encoded(options, input, bundle) {
  runs += 1;
  const directory = folder(`run${runs}`);
  const out = join(directory, 'out.safetensors');
  const { status, stdout, stderr } = command([...options, '--out', out], input, bundle);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, '');
  assert.deepEqual(readdirSync(directory), ['out.safetensors']);
  return readSafetensors(readFileSync(out));
}

/** @param {ReturnType<typeof command>} result @param {RegExp} message @param {number} [code] */
function assertRefused({ status, stdout, stderr }, message, code = 2) {
  assert.equal(status, code, stderr);
  assert.equal(stdout, '');
  assert.match(stderr, /^error: [^\n]+\n$/);
  assert.match(stderr, message);
}

/** The vectors of a text, by hand: one for each id. @param {string} text */
function vectors(text) {
  return Array.from(tokenizer.encode(text).ids, (id) => Array.from(vectorOf(id)));
}

/** In float64. @param {number[][]} rows */
function mean(rows) {
  return rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);
}

/** @param {number[]} row */
function normalized(row) {
  const norm = Math.hypot(...row);
  return row.map((value) => value / norm);
}

/** @param {{shape: number[], data: ArrayLike<number>}} tensor @param {number[][]} expected @param {number} [atol] */
function assertRows({ shape, data }, expected, atol = 1e-7) {
  assert.deepEqual(shape, [expected.length, expected[0].length]);
  expected
    .flat()
    .forEach((value, i) => assert.ok(Math.abs(data[i] - value) <= atol, `at ${i}: got ${data[i]}, expected ${value}`));
}

test('every output is written by name, padded with zeros to the longest text, with ids and mask', () => {
  const { tensors, metadata } = encoded([]);
  const width = 7; // of 这本书很好 with [CLS] and [SEP]
  assert.equal(metadata.bundle, Bundle.open(toy).hash);
  const shapes = Object.fromEntries(Object.entries(tensors).map(([name, { dtype, shape }]) => [name, [dtype, ...shape]]));
  assert.deepEqual(shapes, {
    attention_mask: ['I32', 5, width],
    input_ids: ['I32', 5, width],
    pooled_output: ['F32', 5, WIDTH],
    scores: ['F32', 5, width, width],
    sequence_output: ['F32', 5, width, WIDTH],
  });
  const positions = Array.from({ length: width }, (_, i) => i);
  const rows = TEXTS.map(vectors);
  const zeros = new Array(WIDTH).fill(0);
  const ids = TEXTS.map((text) => Array.from(tokenizer.encode(text).ids));
  assertRows(
    tensors.input_ids,
    ids.map((row) => positions.map((i) => row[i] ?? 0)),
    0,
  );
  assertRows(
    tensors.attention_mask,
    ids.map((row) => positions.map((i) => Number(i < row.length))),
    0,
  );
  assertRows(
    { ...tensors.sequence_output, shape: [5, width * WIDTH] },
    rows.map((row) => positions.flatMap((i) => row[i] ?? zeros)),
    0,
  );
  assertRows(
    tensors.pooled_output,
    rows.map((row) => zeros.map((_, i) => Math.max(...row.map((vector) => vector[i])))),
    0,
  );
  const dot = (/** @type {number[]} */ a, /** @type {number[]} */ b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  assertRows(
    { ...tensors.scores, shape: [5, width * width] },
    rows.map((row) => positions.flatMap((i) => positions.map((j) => (row[i] && row[j] ? dot(row[i], row[j]) : 0)))),
  );
});

test('--pooling gives one vector per text, equal to a computation from the ids; --normalize divides it by its norm', () => {
  const rows = TEXTS.map(vectors);
  const expected = {
    cls: rows.map(([first]) => first),
    mean: rows.map(mean),
    pooled: rows.map((row) => row[0].map((_, i) => Math.max(...row.map((vector) => vector[i])))),
  };
  for (const [pooling, vectorsOf] of Object.entries(expected)) {
    const { tensors, metadata } = encoded(['--pooling', pooling]);
    assert.deepEqual(Object.keys(tensors), ['sentence_embedding'], pooling);
    assertRows(tensors.sentence_embedding, vectorsOf);
    assert.deepEqual([metadata.pooling, metadata.normalize], [pooling, 'false']);
    const unit = encoded(['--pooling', pooling, '--normalize']);
    assertRows(unit.tensors.sentence_embedding, vectorsOf.map(normalized));
    assert.equal(unit.metadata.normalize, 'true');
  }
  const { tensors } = encoded(['--pooling', 'sequence']);
  assert.deepEqual(Object.keys(tensors).sort(), ['attention_mask', 'input_ids', 'sequence_output']);
});

test('the mean of a model with a fixed length leaves out padding', () => {
  const fixed = join(dir, 'fixed');
  writeToyBundle(fixed, { fixedLength: 9 });
  const { tensors } = encoded(['--pooling', 'mean'], undefined, fixed);
  assertRows(
    tensors.sentence_embedding,
    TEXTS.map((text) => mean(vectors(text))),
  );
  assert.deepEqual(encoded(['--outputs', 'sequence_output'], undefined, fixed).tensors.sequence_output.shape, [5, 9, WIDTH]);
});

test('--max-length cuts each text; pairs are JSON objects', () => {
  const { tensors } = encoded(['--max-length', '4']);
  assert.deepEqual(tensors.input_ids.shape, [5, 4]);
  assert.deepEqual(
    Array.from(tensors.input_ids.data.subarray(4, 8)),
    Array.from(tokenizer.encode('这本书很好', { maxLength: 4 }).ids),
  );
  const pair = encoded(['--jsonl'], '{"sentence1": "好", "sentence2": "坏"}\n').tensors;
  assert.deepEqual(Array.from(pair.input_ids.data), Array.from(tokenizer.encode('好', { pair: '坏' }).ids));
  const out = join(dir, 'refused.safetensors');
  assertRefused(
    command(['--max-length', '2', '--out', out]),
    /Expected --max-length to be a whole number from 3 to 512, got `2`/,
  );
  assertRefused(command(['--workers', '0', '--out', out]), /Expected --workers to be a whole number from 1 to 256, got `0`/);
});

test('one or two workers, one text or many, and the library give the same bits for the embedded model', async () => {
  const lines = readFileSync(join(root, 'artifacts', 'data', 'dev.jsonl'), 'utf8')
    .split('\n')
    .slice(0, 30);
  const texts = lines.map((line) => JSON.parse(line).text);
  const input = `${lines.join('\n')}\n`;
  const options = ['--jsonl', '--max-length', '24'];
  const encoder = await Encoder.load(embedded, { backend: 'wasm' });
  for (const pooling of /** @type {const} */ (['cls', 'mean', 'pooled'])) {
    const one = encoded([...options, '--pooling', pooling, '--normalize'], input, embedded).tensors.sentence_embedding;
    const two = encoded([...options, '--pooling', pooling, '--normalize', '--workers', '2'], input, embedded).tensors
      .sentence_embedding;
    assert.deepEqual(two, one, pooling);
    const vectors = await encoder.encode(texts, { pooling, normalize: true, maxLength: 24 });
    assert.deepEqual(
      vectors,
      Array.from({ length: 30 }, (_, row) => one.data.slice(312 * row, 312 * (row + 1))),
    );
  }
  // Every number of every output, of which the mean is computed in float64.
  const whole = encoded(options, input, embedded).tensors;
  assert.deepEqual(encoded([...options, '--workers', '2'], input, embedded).tensors, whole);
  const {
    shape: [, width, hidden],
    data,
  } = whole.sequence_output;
  const means = await encoder.encode(texts, { pooling: 'mean', maxLength: 24 });
  assert.equal(means.length, texts.length);
  let padding = 0;
  means.forEach((vector, row) => {
    const count = Array.from(whole.attention_mask.data.slice(row * width, (row + 1) * width)).filter((one) => one === 1).length;
    const positions = Array.from({ length: count }, (_, i) =>
      Array.from(data.slice((row * width + i) * hidden, (row * width + i + 1) * hidden)),
    );
    mean(positions).forEach((value, i) => assert.ok(Math.abs(vector[i] - value) < 1e-6));
    const rest = data.slice((row * width + count) * hidden, (row + 1) * width * hidden);
    assert.ok(rest.every((value) => value === 0));
    padding += rest.length;
  });
  assert.ok(padding > 0, 'at least one text is shorter than the longest');
  encoder.dispose();
});

test('an impossible --out is refused before a text is read', async () => {
  writeFileSync(join(dir, 'file'), '');
  const bad = /** @type {[string, RegExp][]} */ ([
    [join(dir, 'nowhere', 'x.safetensors'), /the directory .*nowhere of .* is not there; make it first/],
    [dir, /--out: got the directory .*, expected a file to write, such as .*vectors\.safetensors/],
    [`${join(dir, 'new')}/`, /got the directory/],
    ['', /Expected a value after --out, got an empty one/],
    [join(dir, 'file', 'x.safetensors'), /the directory .*file of .* is not there/],
    ['/dev/null', /is a device or a pipe, expected a file/],
  ]);
  for (const [out, message] of bad) {
    // Its stdin stays open and empty: it would wait for a text.
    const child = spawn(process.execPath, [program, '--bundle', toy, '--backend', 'cpu', '--out', out], { timeout: 60_000 });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
    const status = await new Promise((resolve) => child.on('close', resolve));
    assertRefused({ status, stdout: '', stderr }, message);
  }
});

test('invalid options are refused, and nothing is left behind', () => {
  const directory = folder('options');
  const out = ['--out', join(directory, 'x.safetensors')];
  assertRefused(command([...out, '--pooling', 'max']), /--pooling: got `max`, expected one of sequence, cls, mean, pooled/);
  assertRefused(
    command([...out, '--pooling', 'sequence', '--normalize']),
    /--pooling: got `sequence`, but only one vector a text is normalized/,
  );
  assertRefused(command([...out, '--normalize']), /--normalize: expected --pooling cls, mean or pooled with it/);
  assertRefused(command([...out, '--pooling', 'cls', '--outputs', 'all']), /Expected --pooling or --outputs, got both/);
  assertRefused(command(out, ''), /Expected texts on stdin, got none/);
  assertRefused(command([...out, '--jsonl'], '{"text": "好"}\n{"text": 7}\n'), /stdin:2: got 7/);
  assertRefused(command([...out, '--pooling', 'mean', '--no-special-tokens'], '好\n\n'), /stdin:2: the text has no token/);
  assert.deepEqual(readdirSync(directory), []);
});

test('an output that is not finite is refused with its line', () => {
  const torn = join(dir, 'torn');
  writeToyBundle(torn, { nanOf: tokenizer.encode('书').ids[1] });
  const directory = folder('nan');
  for (const options of [[], ['--pooling', 'mean'], ['--pooling', 'pooled', '--workers', '2']]) {
    const { status, stderr } = command([...options, '--out', join(directory, 'x.safetensors')], undefined, torn);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /\nerror: The encoder gave a vector that is not finite for stdin:[24]|^error: .* stdin:[24]/);
  }
  assert.deepEqual(readdirSync(directory), []);
});

test('more texts than a call can have arguments, in constant memory', { timeout: 600_000 }, () => {
  /** Its peak in KiB. @param {number} count */
  const peak = (count) => {
    const out = join(dir, 'many.safetensors');
    const input = Array.from({ length: count }, (_, i) => `${TEXTS[i % 5]}\n`).join('');
    const report = 'data:text/javascript,process.on("exit",()=>console.error("peak",process.resourceUsage().maxRSS))';
    const args = ['--import', report, program, '--bundle', toy, '--backend', 'wasm', '--out', out];
    const { status, stderr } = spawnSync(process.execPath, args, { input, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return { kib: Number(/peak (\d+)/.exec(stderr)?.[1]), bytes: readFileSync(out) };
  };
  const few = peak(20_000);
  const many = peak(150_000);
  const { tensors } = readSafetensors(many.bytes);
  assert.deepEqual(tensors.pooled_output.shape, [150_000, WIDTH]);
  const last = Array.from(tensors.sequence_output.data.slice(-7 * WIDTH), (value) => value);
  assert.deepEqual(last, [...vectors(TEXTS[4]).flat(), ...new Array(WIDTH).fill(0)]);
  const grown = (many.kib - few.kib) / 1024;
  // Between two collections the heap grows by up to 60 MiB; a text that is kept costs more than 1 KiB.
  assert.ok(grown < 96, `${few.kib} KiB for 20,000 texts, ${many.kib} KiB for 150,000`);
});

test('an output larger than the disk is refused before encoding, not when the disk is full', () => {
  const vast = join(dir, 'vast');
  writeToyBundle(vast);
  const contract = JSON.parse(readFileSync(join(vast, 'bundle.json'), 'utf8'));
  contract.outputs[1].shape = ['batch', 1e9, 1e4];
  writeFileSync(join(vast, 'bundle.json'), JSON.stringify(contract));
  const directory = folder('vast-out');
  const result = command(['--outputs', 'scores', '--out', join(directory, 'x.safetensors')], undefined, vast);
  // 5 texts of 10¹³ numbers of 4 bytes, and of 24 ids and as many masks.
  assertRefused(
    { ...result, stderr: result.stderr.slice(result.stderr.indexOf('error')) },
    /--out: .* will have at least 200000000\.0 MB, but [\d.]+ MB are free there/,
  );
  assert.deepEqual(readdirSync(directory), []);
});

/** @param {string} directory @param {NodeJS.Signals} signal */
function interrupted(directory, signal) {
  const out = join(directory, 'x.safetensors');
  const child = spawn(process.execPath, [program, '--bundle', embedded, '--backend', 'wasm', '--workers', '2', '--out', out]);
  let stderr = '';
  let sent = false;
  child.stdin.on('error', () => {});
  child.stdin.end(`${'这本书很好'.repeat(90)}\n`.repeat(2000));
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
    if (!sent && /\d+ %/.test(stderr)) sent = child.kill(signal);
  });
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, stderr })));
}

test('a stopped encode.js leaves nothing behind', async () => {
  const directory = folder('stopped');
  for (const [signal, code] of /** @type {const} */ ([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])) {
    const { status, stderr } = /** @type {{status: number, stderr: string}} */ (await interrupted(directory, signal));
    assert.equal(status, code, stderr);
    assert.match(stderr, /stopped; nothing was written\n$/);
    assert.deepEqual(readdirSync(directory), []);
  }
});

test('if the output does not fit on the disk, the old file stays and nothing else is left', {
  skip: process.platform === 'win32',
}, () => {
  const directory = folder('full');
  const out = join(directory, 'x.safetensors');
  writeFileSync(out, 'old');
  // A file may have 4 blocks of 512 or 1024 bytes; the output has more.
  const line = `ulimit -f 4 && exec "$0" "$@"`;
  const args = ['-c', line, process.execPath, program, '--bundle', toy, '--backend', 'cpu', '--out', out];
  const { status, stderr } = spawnSync('sh', args, { input: `${TEXTS.join('\n')}\n`.repeat(20), encoding: 'utf8' });
  assert.equal(status, 3, stderr);
  assert.match(stderr, /^error: the file is too large for this place at .*x\.safetensors \(EFBIG\); give another place, .*\n$/);
  assert.deepEqual(readdirSync(directory), ['x.safetensors']);
  assert.equal(readFileSync(out, 'utf8'), 'old');
});
