/** Long texts in the commands and in the library: what windows become, what is said, and what is refused. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { readDescription } from '../../node_bridge/classifier/classifier_files.js';
import { Classifier } from '../../node_bridge/classifier/classifier.js';
import { TokenClassifier } from '../../node_bridge/classifier/token_classifier.js';
import { Head } from '../../node_bridge/classifier/head.js';
import { Encoder } from '../../node_bridge/encoder/encoder.js';
import { readSafetensors } from '../../node_bridge/support/safetensors.js';
import { Tokenizer } from '../../node_bridge/tokenizer/index.js';
import { resealClassifier } from './toys.js';
import { vectorOf, writeToyBundle } from './toy_bundle.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const embedded = join(root, 'artifacts', 'bundle', 'albert_tiny');
const dir = mkdtempSync(join(tmpdir(), 'long-texts-'));
after(() => rmSync(dir, { recursive: true }));
const place = (/** @type {string} */ name) => join(dir, name);

const LABELS = ['bad', 'good'];
/** The scores of a text are the largest of its tokens'. */
const SCORES = { '[CLS]': [0, 0], 好: [0, 4], 坏: [2, 0] };
const OTHER = [-9, -9];
/** Positions of the toy models: windows have 6 tokens. */
const POSITIONS = 8;

before(() => {
  /** @type {Record<string, any>} */
  const contracts = {
    single: { task: 'single_label', activation: 'softmax', labels: LABELS },
    several: { task: 'multi_label', activation: 'sigmoid', labels: LABELS, threshold: 0.7 },
    numbers: { task: 'regression', activation: 'none', labels: LABELS },
    tokens: { task: 'token_labels', activation: 'softmax', labels: ['O', 'B-X', 'I-X'], scheme: 'BIO' },
  };
  for (const [name, classifier] of Object.entries(contracts)) {
    const scores = name === 'tokens' ? { 张: [0, 5, 0], 三: [0, 0, 5] } : SCORES;
    writeToyBundle(place(name), { classifier, scores, otherScores: name === 'tokens' ? [5, 0, 0] : OTHER });
    limitPositions(place(name));
  }
  writeToyBundle(place('encoder'));
  limitPositions(place('encoder'));
});

/** Says that a bundle's model takes fewer positions. @param {string} bundle */
function limitPositions(bundle) {
  const path = join(bundle, 'bundle.json');
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), max_length: POSITIONS }));
}

/** @param {string} script @param {string[]} args @param {string} [input] */
function run(script, args, input = '') {
  const words = [join(root, 'node_bridge', script), ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { input, encoding: 'utf8' });
  const rows = () =>
    stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  return { status, stdout, stderr, rows };
}

/** @param {{status: number | null, stdout: string, stderr: string}} result @param {RegExp} message */
function assertRefused({ status, stdout, stderr }, message) {
  assert.deepEqual([status, stdout], [2, ''], stderr);
  assert.match(stderr, /^error: [^\n]+\n$/);
  assert.match(stderr, message);
}

/** @param {string} name @param {object} [options] @returns {Promise<Classifier<any>>} */
const load = (name, options = {}) => Classifier.load(place(name), { backend: 'cpu', ...options });

/** A text whose 12 tokens have 好 at the start and 坏 at the end: three windows of 6, beginning at 0, 3 and 6. */
const MIXED = '好书书书书书书书书书书坏';
const softmax = (/** @type {number[]} */ scores) =>
  scores.map((x) => Math.exp(x) / scores.reduce((sum, y) => sum + Math.exp(y), 0));
const sigmoid = (/** @type {number} */ score) => 1 / (1 + Math.exp(-score));

/** @param {Record<string, number>} got @param {number[]} expected */
function assertNear(got, expected) {
  LABELS.forEach((label, i) => assert.ok(Math.abs(got[label] - expected[i]) < 1e-6, JSON.stringify([got, expected])));
}

test('a bundle that decides by itself: scores of the windows become one, and then probabilities', async () => {
  // Scores: of the first window [0, 4] (好 and [CLS]), of the second [0, 0] ([CLS]), of the third [2, 0].
  const windows = { long: 'windows', stride: 3 };
  const [cut, both, mean, most] = await Promise.all([
    load('single'),
    load('single', { long: 'head-tail' }),
    load('single', windows),
    load('single', { ...windows, windowPooling: 'max' }),
  ]);
  assertNear((await cut.predict(MIXED)).probabilities, softmax([0, 4]));
  assertNear((await both.predict(MIXED)).probabilities, softmax([2, 4]));
  assertNear((await mean.predict(MIXED)).probabilities, softmax([2 / 3, 4 / 3]));
  assertNear((await most.predict(MIXED)).probabilities, softmax([2, 4]));
  const short = await Promise.all([cut, both, mean, most].map((classifier) => classifier.predict('好坏')));
  for (const answer of short) assert.deepEqual(answer, short[0], 'a text that fits');
  const { texts, longer, incomplete, rows } = mean.lengths;
  assert.deepEqual([texts, longer, incomplete, rows], [2, 1, 0, 3]);
  assert.deepEqual([cut.lengths.incomplete, both.lengths.incomplete], [1, 1]);
  for (const classifier of [cut, both, mean, most]) classifier.dispose();

  const several = await load('several', windows);
  const answer = await several.predict(MIXED);
  assertNear(answer.probabilities, [sigmoid(2 / 3), sigmoid(4 / 3)]);
  assert.deepEqual(answer.labels, ['good']);
  several.dispose();
  const numbers = await load('numbers', windows);
  assertNear((await numbers.predict(MIXED)).values, [2 / 3, 4 / 3]);
  // 好 is in a window of its own with the shorter text: windows of the longer one have 5 - 2 tokens.
  const pair = await numbers.predict({ sentence1: '坏书', sentence2: '书书书书好' });
  assertNear(pair.values, [2, (0 + 4) / 2]);
  numbers.dispose();
});

test('labels of tokens: all tokens have one, from the window in which they have the most context', async () => {
  const text = '书书书书张三三三书书书书书张三书';
  const [cut, windows, shifted] = await Promise.all(
    [{}, { long: 'windows' }, { long: 'windows', stride: 1, workers: 2 }].map((options) =>
      TokenClassifier.load(place('tokens'), /** @type {any} */ ({ backend: 'cpu', ...options })),
    ),
  );
  assert.equal((await cut.predict(text)).tokens.length, 6);
  const whole = await windows.predict([text, '张三']);
  assert.deepEqual(
    whole[0].tokens.map(({ start, end }) => [start, end]),
    Array.from(text, (_, i) => [i, i + 1]),
  );
  assert.deepEqual(
    whole[0].spans.map(({ label, text: part, start, end }) => [label, part, start, end]),
    [
      ['X', '张三三三', 4, 8],
      ['X', '张三', 13, 15],
    ],
  );
  // The toy's scores depend on the token alone, so the windows cannot matter.
  assert.deepEqual(await shifted.predict([text, '张三']), whole);
  assert.equal(windows.lengths.describe(), '');
  assert.equal(cut.lengths.describe(), '1 of 1 texts is longer than 8 positions and was cut; --long windows reads them whole');
  for (const classifier of [cut, windows, shifted]) await classifier.dispose();
});

test('predict.js says at the end how many texts were cut, and reads them by --long', () => {
  const args = ['--model', place('single'), '--backend', 'cpu'];
  const input = `${MIXED}\n好\n${MIXED}\n`;
  const cut = run('predict.js', args, input);
  assert.equal(cut.status, 0, cut.stderr);
  assert.match(cut.stderr, /\n?2 of 3 texts are longer than 8 positions and were cut; --long windows reads them whole\n$/);
  const windows = run('predict.js', [...args, '--long', 'windows', '--stride', '3', '--workers', '2'], input);
  assert.equal(windows.status, 0, windows.stderr);
  assert.doesNotMatch(windows.stderr, /longer than/);
  assertNear(windows.rows()[2].probabilities, softmax([2 / 3, 4 / 3]));
  assert.deepEqual(windows.rows()[1], cut.rows()[1]);
  const fits = run('predict.js', [...args, '好']);
  assert.doesNotMatch(fits.stderr, /longer than/);
});

test('evaluate.js reads long texts by --long and says how many there are', () => {
  const data = place('labelled.jsonl');
  writeFileSync(data, `{"text":"${MIXED}","label":"good"}\n{"text":"好","label":"good"}\n{"text":"坏","label":"bad"}\n`);
  const args = ['--model', place('single'), '--backend', 'cpu', '--workers', '1', '--data', data, '--json'];
  const cut = run('evaluate.js', args);
  assert.equal(cut.status, 0, cut.stderr);
  assert.deepEqual(JSON.parse(cut.stdout).long_texts, { texts: 1, max_length: 8, read_by: 'cut' });
  assert.match(cut.stderr, /1 of 3 texts is longer than 8 positions and was cut; --long windows reads them whole/);
  const out = place('evaluation');
  const windows = run('evaluate.js', [...args, '--long', 'windows', '--out', out]);
  assert.deepEqual(JSON.parse(windows.stdout).long_texts, { texts: 1, max_length: 8, read_by: 'windows, stride 3, mean' });
  assert.match(
    readFileSync(join(out, 'evaluation.html'), 'utf8'),
    /texts of more than 8 positions.*1, read by: windows, stride 3, mean/,
  );
});

test('encode.js and Encoder.encode: one vector of the windows of a text', async () => {
  const tokenizer = Tokenizer.fromBundle(Bundle.open(place('encoder')));
  const text = '这本书很好房间很小书很好';
  const ids = tokenizer.encode(text, { maxLength: 99 }).ids;
  const [cls, ...rest] = ids;
  const sep = /** @type {number} */ (rest.pop());
  assert.equal(rest.length, 12);
  const meanOf = (/** @type {number[][]} */ rows) =>
    rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);
  const windows = [0, 3, 6].map((start) => [cls, ...rest.slice(start, start + 6), sep]);
  const means = windows.map((window) => meanOf(window.map((id) => [...vectorOf(id)])));
  const expected = meanOf(means);
  const largest = means[0].map((_, i) => Math.max(...means.map((mean) => mean[i])));
  const near = (/** @type {ArrayLike<number>} */ got, /** @type {number[]} */ wanted) =>
    wanted.forEach((value, i) => assert.ok(Math.abs(got[i] - value) < 1e-6, `${got[i]}, expected ${value}`));

  const encoder = await Encoder.load(place('encoder'), { backend: 'cpu' });
  const options = /** @type {const} */ ({ pooling: 'mean', long: 'windows' });
  const [vector, short] = await encoder.encode([text, '好'], options);
  near(vector, expected);
  assert.deepEqual(short, (await encoder.encode(['好'], { pooling: 'mean' }))[0]);
  near((await encoder.encode([text], { ...options, windowPooling: 'max' }))[0], largest);
  const [unit] = await encoder.encode([text], { ...options, normalize: true });
  near(
    unit,
    expected.map((value) => value / Math.hypot(...expected)),
  );
  await assert.rejects(
    encoder.encode([text], { pooling: 'sequence', long: 'windows' }),
    /Expected `long` to be cut or head-tail: windows give one vector a text, and the pooling sequence takes all positions/,
  );
  await assert.rejects(encoder.encode([text], /** @type {any} */ ({ long: 'windows', stride: 7 })), /`stride` .* 1 to 6/);
  encoder.dispose();

  const input = `${text}\n好\n${text}\n`;
  const encode = (/** @type {string[]} */ args) => {
    const out = place('vectors.safetensors');
    const words = ['--bundle', place('encoder'), '--backend', 'cpu', '--out', out, ...args];
    const result = run('encode.js', words, input);
    return { ...result, file: () => readSafetensors(readFileSync(out)) };
  };
  for (const workers of ['1', '2']) {
    const { status, stderr, file } = encode(['--pooling', 'mean', '--long', 'windows', '--workers', workers]);
    assert.equal(status, 0, stderr);
    const { tensors, metadata } = file();
    assert.deepEqual(tensors.sentence_embedding.shape, [3, 4]);
    assert.deepEqual(tensors.sentence_embedding.data, Float32Array.from([...vector, ...short, ...vector]));
    assert.equal(metadata.long, 'windows, stride 3, mean');
  }
  // Without --pooling, an output that has one vector a text: here the largest value of each place.
  const pooled = encode(['--outputs', 'pooled_output', '--long', 'windows', '--window-pooling', 'max']);
  assert.equal(pooled.status, 0, pooled.stderr);
  const { tensors: pooledTensors } = pooled.file();
  assert.deepEqual(Object.keys(pooledTensors), ['pooled_output']);
  near(
    pooledTensors.pooled_output.data,
    [0, 1, 2, 3].map((i) => Math.max(...Array.from(ids, (id) => vectorOf(id)[i]))),
  );
  const cut = encode(['--pooling', 'mean']);
  assert.match(cut.stderr, /2 of 3 texts are longer than 8 positions and were cut; --long windows reads them whole\n/);
  assert.equal(cut.file().metadata.long, undefined);
  const both = encode(['--long', 'head-tail']).file();
  const shown = [cls, ...rest.slice(0, 2), ...rest.slice(-4), sep];
  assert.deepEqual([...both.tensors.input_ids.data.subarray(0, 8)], shown);

  assertRefused(encode(['--long', 'windows']), /--long windows gives one vector a text, but .* would be written; give --pooling/);
  assertRefused(
    encode(['--long', 'windows', '--pooling', 'sequence']),
    /Expected --long to be cut or head-tail: .*--pooling sequence/,
  );
  assertRefused(
    encode(['--long', 'head-tail', '--no-special-tokens']),
    /Expected --long cut with --no-special-tokens, got head-tail/,
  );
});

test('options that make no sense are refused in one line', async () => {
  const predict = (/** @type {string} */ name, /** @type {string[]} */ ...args) =>
    run('predict.js', ['--model', place(name), '--backend', 'cpu', ...args], '好\n');
  assertRefused(
    predict('single', '--stride', '3'),
    /Got --stride, which only windows have, but long texts are read by cut; leave it out/,
  );
  assertRefused(predict('single', '--long', 'windows', '--stride', '0'), /Expected --stride to be a whole number from 1/);
  assertRefused(
    predict('single', '--long', 'windows', '--stride', '7'),
    /Expected --stride to be a whole number from 1 to 6, .*`7`/,
  );
  assertRefused(
    predict('single', '--long', 'window'),
    /--long to be one of cut, head-tail, windows, got `window`; did you mean windows\?/,
  );
  assertRefused(
    predict('tokens', '--long', 'head-tail'),
    /Expected --long to be cut or windows, got `head-tail`, which leaves tokens/,
  );
  assertRefused(
    predict('tokens', '--long', 'windows', '--window-pooling', 'max'),
    /--window-pooling: a token has the label of one window/,
  );
  await assert.rejects(
    TokenClassifier.load(place('tokens'), /** @type {any} */ ({ long: 'head-tail' })),
    /`long` to be cut or windows/,
  );
  const train = (/** @type {string[]} */ ...args) => run('train.js', ['--bundle', embedded, '--out', place('none'), ...args]);
  assertRefused(
    train('--long', 'windows', '--head', 'bilstm'),
    /Expected --long to be cut or head-tail: windows give one vector a text, and the head bilstm takes all positions/,
  );
  assertRefused(
    train('--long', 'windows', '--max-length', '32', '--stride', '32'),
    /--stride to be a whole number from 1 to 30, .*`32`/,
  );
  assertRefused(train('--window-pooling', 'max'), /Got --window-pooling, which only windows have/);
});

test('a classifier that was trained with windows predicts with them', async () => {
  const lines = readFileSync(join(root, 'artifacts', 'data', 'train.jsonl'), 'utf8')
    .split('\n')
    .slice(0, 60);
  const data = place('train.jsonl');
  writeFileSync(data, `${lines.join('\n')}\n`);
  const out = place('classifier');
  const options = ['--bundle', embedded, '--train', data, '--split', '0.3', '--max-length', '16', '--epochs', '1'];
  const train = (/** @type {string[]} */ ...more) =>
    run('train.js', [...options, '--backend', 'wasm', '--workers', '1', '--cache', place('cache'), '--out', out, ...more]);
  const first = train('--long', 'windows', '--stride', '7');
  assert.equal(first.status, 0, first.stderr);
  assert.match(
    first.stderr,
    /\d+ of 60 texts \(.* %\) are longer than 16 positions and are read by windows, stride 7, mean: \d+ windows; /,
  );
  const { long, golden = [] } = readDescription(out);
  assert.deepEqual(long, { choice: 'windows', stride: 7, pooling: 'mean' });
  assert.match(readFileSync(join(out, 'training.html'), 'utf8'), /windows, stride 7, mean/);
  assert.match(train('--long', 'windows', '--stride', '7').stdout, /is trained already, with these settings/);
  assertRefused(train('--long', 'windows', '--stride', '8'), /is a finished classifier, trained with other settings/);
  assertRefused(train(), /is a finished classifier, trained with other settings/);

  // The same answer, step by step: windows of 14 tokens, their vectors, their mean, the head.
  const bundle = Bundle.open(embedded);
  const tokenizer = Tokenizer.fromBundle(bundle);
  const encoder = await Encoder.load(bundle, { backend: 'wasm' });
  const head = await Head.load(out, bundle);
  const classifier = await Classifier.load(out, { backend: 'wasm', workers: 2 });
  const { text } = JSON.parse(/** @type {string} */ (lines.find((line) => JSON.parse(line).text.length > 45)));
  const [cls, ...rest] = tokenizer.encode(text).ids;
  const sep = /** @type {number} */ (rest.pop());
  const starts = [];
  for (let start = 0; start + 14 < rest.length; start += 7) starts.push(start);
  starts.push(rest.length - 14);
  assert.ok(starts.length > 3);
  const encodings = starts.map((start) => ({
    ids: Int32Array.from([cls, ...rest.slice(start, start + 14), sep]),
    typeIds: new Int32Array(16),
  }));
  const vectors = await encoder.firstPosition(encodings);
  const mean = vectors[0].map((_, i) => vectors.reduce((sum, vector) => sum + vector[i], 0) / vectors.length);
  const [expected] = await head.probabilities([mean]);
  const [answer, again] = await classifier.predict([text, text]);
  assert.deepEqual(Object.values(answer.probabilities), Array.from(expected));
  assert.deepEqual(again, answer);
  assert.ok(
    golden.some((one) => tokenizer.encode(String(one.text)).ids.length > 16),
    'golden answers cover windows',
  );
  encoder.dispose();
  await classifier.dispose();

  assert.equal(run('verify.js', ['--model', out, '--backend', 'wasm']).status, 0);
  const predict = (/** @type {string[]} */ ...more) =>
    run('predict.js', ['--model', out, '--backend', 'wasm', ...more], `${text}\n`);
  assert.deepEqual(predict().rows(), [answer]);
  assert.doesNotMatch(predict().stderr, /longer than/);
  assertRefused(
    predict('--long', 'cut'),
    /--long is for a bundle that decides by itself; .* reads long texts as in its training \(windows, stride 7, mean, 16 positions\); leave it out, or train with it/,
  );
  const evaluation = run('evaluate.js', ['--model', out, '--data', data, '--backend', 'wasm', '--workers', '1', '--json']);
  assert.equal(JSON.parse(evaluation.stdout).long_texts.read_by, 'windows, stride 7, mean');
});

test('killed amid its work, a training with windows goes on to the same weights', async () => {
  const options = [
    '--bundle',
    embedded,
    '--train',
    place('train.jsonl'),
    '--split',
    '0.3',
    '--max-length',
    '16',
    '--epochs',
    '3',
  ];
  const args = (/** @type {string} */ name) => [
    ...options,
    '--long',
    'windows',
    '--backend',
    'wasm',
    '--workers',
    '2',
    '--cache',
    place(`${name}.cache`),
    '--out',
    place(name),
  ];
  assert.equal(run('train.js', args('whole')).status, 0);
  for (const folder of ['features', 'training']) {
    const program = [join(root, 'node_bridge', 'train.js'), ...args('killed')];
    const child = spawn(process.execPath, program, { stdio: 'ignore' });
    const ended = new Promise((done) => child.once('exit', done));
    const at = join(place('killed.cache'), folder);
    const isThere = () =>
      existsSync(at) && readdirSync(at, { recursive: true, encoding: 'utf8' }).some((one) => one.endsWith('.safetensors'));
    while (!isThere() && child.exitCode === null) await sleep(5);
    child.kill('SIGKILL');
    await ended;
  }
  assert.equal(run('train.js', args('killed')).status, 0);
  const weights = (/** @type {string} */ name) => readFileSync(join(place(name), 'weights.bin'));
  assert.deepEqual(weights('killed'), weights('whole'));
});

test('a classifier whose windows leave tokens out, or are for all positions, is refused', () => {
  const out = place('classifier');
  /** @param {(description: any) => void} change @param {RegExp} message */
  const refused = (change, message) => {
    const before = readFileSync(join(out, 'classifier.json'));
    resealClassifier(out, change);
    assertRefused(run('predict.js', ['--model', out], '好\n'), message);
    writeFileSync(join(out, 'classifier.json'), before);
  };
  refused((description) => (description.long.stride = 15), /got the stride 15 of windows of 16 positions/);
  refused((description) => (description.long.stride = 0), /classifier\.json: at \/long/);
  refused((description) => (description.long.choice = 'tail'), /classifier\.json: at \/long/);
  refused((description) => (description.long.pooling = 'context'), /classifier\.json: at \/long/);
  refused((description) => {
    description.head = 'bilstm';
    description.pooling = 'sequence_output';
  }, /got windows, which give one vector a text, for the pooling sequence_output/);
});

test('a classifier that was trained with cut says how many texts it cut', () => {
  const out = place('cut');
  const args = ['--bundle', embedded, '--train', place('train.jsonl'), '--split', '0.3', '--max-length', '16', '--epochs', '1'];
  const trained = run('train.js', [...args, '--backend', 'wasm', '--workers', '1', '--cache', place('cache'), '--out', out]);
  assert.equal(trained.status, 0, trained.stderr);
  assert.match(trained.stderr, /are cut at 16 positions and lose .*, see --max-length and --long\n/);
  assert.equal(readDescription(out).long, undefined);
  const { stderr } = run('predict.js', ['--model', out, '--backend', 'wasm'], `${'书'.repeat(15)}\n${'书'.repeat(14)}\n`);
  assert.match(stderr, /1 of 2 texts is longer than 16 positions and was cut; train with --long windows to read them whole\n$/);
});
