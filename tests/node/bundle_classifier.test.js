/** A bundle whose model decides by itself: labels of texts, several labels, numbers. The scores of each token are written here. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Classifier } from '../../node_bridge/classifier/classifier.js';
import { Encoder } from '../../node_bridge/encoder/encoder.js';
import { UserError } from '../../node_bridge/support/errors.js';
import { readSafetensors, writeSafetensors } from '../../node_bridge/support/safetensors.js';
import { vectorOf, WIDTH, writeToyBundle } from './toy_bundle.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const dir = mkdtempSync(join(tmpdir(), 'bundle-classifier-'));
after(() => rmSync(dir, { recursive: true }));

/** A text's scores are the largest of its tokens'; of all tokens but these they are -40. */
const SCORES = { '[CLS]': [0, 0, -40], 好: [0, Math.log(3), -40], 坏: [Math.log(7), 0, -40], 贵: [-40, -40, 2] };
const LABELS = ['bad', 'good', 'dear'];
/** @type {Record<string, any>} */
const CONTRACTS = {
  single: { task: 'single_label', activation: 'softmax', labels: LABELS },
  plain: { task: 'single_label', activation: 'none', labels: LABELS },
  multi: { task: 'multi_label', activation: 'sigmoid', labels: LABELS, threshold: 0.6 },
  numbers: { task: 'regression', activation: 'none', labels: LABELS },
  tokens: { task: 'token_labels', activation: 'softmax', labels: LABELS, scheme: 'none' },
};
for (const [name, classifier] of Object.entries(CONTRACTS)) {
  writeToyBundle(join(dir, name), { classifier, scores: SCORES, otherScores: [-40, -40, -40] });
}
writeToyBundle(join(dir, 'encoder'));

/** @param {Record<string, number>} got @param {Record<string, number>} expected */
function assertNear(got, expected) {
  assert.deepEqual(Object.keys(got), Object.keys(expected));
  for (const [label, value] of Object.entries(expected)) {
    assert.ok(Math.abs(got[label] - value) < 1e-6, `${label}: got ${got[label]}, expected ${value}`);
  }
}

/** @param {string} name @param {object} [options] @returns {Promise<Classifier<any>>} */
const load = (name, options = {}) => Classifier.load(join(dir, name), { backend: 'cpu', ...options });

/** @param {string} script @param {string[]} args @param {string} [input] */
function run(script, args, input = '') {
  const words = [join(root, 'node_bridge', script), '--backend', 'cpu', ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { input, encoding: 'utf8' });
  return {
    status,
    stdout,
    stderr,
    rows: () =>
      stdout
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
  };
}
/** @param {string} name @param {string} input @param {string[]} options */
const predict = (name, input, ...options) => run('predict.js', ['--model', join(dir, name), ...options], input);

test('single_label: softmax of the scores, top, pairs and single texts', async () => {
  const classifier = await load('single');
  assert.deepEqual([classifier.labels, classifier.task, classifier.problemType], [LABELS, undefined, 'single_label']);
  const [good, bad, pair] = await classifier.predict(['好', '坏', { sentence1: '书', sentence2: '好' }], { top: 2 });
  assert.deepEqual(Object.keys(good), ['text', 'label', 'probability', 'probabilities', 'top']);
  assertNear(good.probabilities, { bad: 0.25, good: 0.75, dear: 0 });
  assertNear(bad.probabilities, { bad: 0.875, good: 0.125, dear: 0 });
  assert.deepEqual([good.label, good.probability], ['good', good.probabilities.good]);
  assert.deepEqual(good.top, [
    { label: 'good', probability: good.probabilities.good },
    { label: 'bad', probability: good.probabilities.bad },
  ]);
  assert.deepEqual([pair.sentence1, pair.sentence2, pair.label], ['书', '好', 'good']);
  assert.deepEqual(pair.probabilities, good.probabilities);
  const equal = await classifier.predict('书');
  assert.equal(equal.label, 'bad', 'of equally probable labels the first wins');
  classifier.dispose();
});

test('single_label without activation: the scores are the probabilities', async () => {
  const classifier = await load('plain');
  const { label, probabilities } = await classifier.predict('好');
  assert.deepEqual([label, probabilities], ['good', { bad: 0, good: Math.fround(Math.log(3)), dear: -40 }]);
  classifier.dispose();
});

test('large scores do not overflow, very low ones are 0', async () => {
  const contract = {
    task: /** @type {const} */ ('single_label'),
    activation: /** @type {const} */ ('softmax'),
    labels: ['a', 'b'],
  };
  const place = join(dir, 'large');
  writeToyBundle(place, { classifier: contract, scores: { 好: [3e38, -3e38] }, otherScores: [-3e38, -3e38] });
  const single = await load('large');
  assert.deepEqual((await single.predict('好')).probabilities, { a: 1, b: 0 });
  assert.deepEqual((await single.predict('书')).probabilities, { a: 0.5, b: 0.5 });
  single.dispose();
  const several = {
    ...contract,
    task: /** @type {const} */ ('multi_label'),
    activation: /** @type {const} */ ('sigmoid'),
    threshold: 1,
  };
  writeToyBundle(place, { classifier: several, scores: { 好: [3e38, -3e38] }, otherScores: [-3e38, -3e38] });
  const multi = await load('large');
  assert.deepEqual(await multi.predict('好'), { text: '好', labels: ['a'], probabilities: { a: 1, b: 0 } });
  multi.dispose();
});

test('multi_label: all labels at the threshold or above, the most probable first', async () => {
  const classifier = await load('multi');
  assert.equal(classifier.problemType, 'multi_label');
  const [one, two, none] = await classifier.predict(['好', '坏贵', '书'], { top: 1 });
  const high = 1 / (1 + Math.exp(-2));
  assertNear(one.probabilities, { bad: 0.5, good: 0.75, dear: 0 });
  assert.deepEqual(one.labels, ['good']);
  assertNear(two.probabilities, { bad: 0.875, good: 0.5, dear: high });
  assert.deepEqual(two.labels, ['dear', 'bad']);
  assert.deepEqual(two.top, [{ label: 'dear', probability: two.probabilities.dear }]);
  assert.deepEqual(none.labels, []);
  assert.deepEqual(Object.keys(none), ['text', 'labels', 'probabilities', 'top']);
  classifier.dispose();
});

test('regression: the numbers by label, and no ranking', async () => {
  const classifier = await load('numbers');
  assert.deepEqual(await classifier.predict('贵'), { text: '贵', values: { bad: 0, good: 0, dear: 2 } });
  await assert.rejects(classifier.predict('贵', { top: 1 }), /`top` ranks probabilities, but .* numbers \(regression\)/);
  classifier.dispose();
});

test('streams keep order and broken elements; workers change nothing', async () => {
  const texts = Array.from({ length: 300 }, (_, i) => ['好', '坏', '书'][i % 3].repeat(1 + (i % 4)));
  const [one, two] = [await load('single'), await load('single', { workers: 2 })];
  const expected = await one.predict(texts);
  assert.deepEqual(
    expected.map((/** @type {any} */ { text }) => text),
    texts,
  );
  assert.deepEqual(await two.predict(texts), expected);
  const kept = [];
  for await (const answer of one.stream(['好', new Error('torn'), '坏'], { keepBroken: true })) kept.push(answer);
  assert.deepEqual([kept[0].label, kept[1].error.message, kept[2].label], ['good', 'torn', 'bad']);
  await assert.rejects(one.predict(['好', /** @type {any} */ (7)]), /texts\[1\]: got 7/);
  one.dispose();
  two.dispose();
});

test('what a bundle cannot do is said in one line', async () => {
  const place = (/** @type {string} */ name) => join(dir, name);
  const refused = (/** @type {Promise<unknown>} */ work, /** @type {RegExp} */ message) =>
    assert.rejects(work, (error) => error instanceof UserError && message.test(error.message));
  await refused(
    load('encoder'),
    /is a bundle without a classifier; train one with `node .*train\.js --bundle`, or .*--labels and --task$/,
  );
  await refused(load('tokens'), /labels tokens \(token_labels\); open it with TokenClassifier$/);
  await refused(
    load('single', { bundle: place('encoder') }),
    /`bundle` is for a classifier that train\.js wrote; .* is a bundle itself/,
  );
  await refused(load('nowhere'), /is not a classifier: it has no classifier\.json/);
  await refused(load('single', { trustedKeys: 'x' }), /key/i);
  for (const [name, options, message] of /** @type {const} */ ([
    ['encoder', [], /^error: .* is a bundle without a classifier; /],
    ['single', ['--bundle', place('encoder')], /^error: --bundle is for a classifier that train\.js wrote/],
    ['numbers', ['--top', '1'], /^error: --top ranks the labels of a text, but .* decides regression; leave it out\n$/],
    ['tokens', ['--bundle', place('encoder')], /^error: --bundle is for a classifier/],
  ])) {
    const { status, stdout, stderr } = predict(name, '好\n', ...options);
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, message);
    assert.equal(stderr.split('\n').length, 2, stderr);
  }
});

test('predict.js: a line for each line, other fields, broken lines', () => {
  const { status, rows, stderr } = predict('single', '{"text":"好","label":1,"labels":2}\n{"body":""}\n', '--jsonl');
  assert.equal(status, 2);
  const [first, second] = rows();
  assert.deepEqual([first.label, first.input_label, first.labels], ['good', 1, 2]);
  assert.equal(second.line, 2);
  assert.match(stderr, /^stdin:2: got fields body/);
  const [several] = predict('multi', '{"text":"坏贵","label":1,"labels":2}\n', '--jsonl', '--top', '1').rows();
  assert.deepEqual([several.labels, several.label, several.input_labels], [['dear', 'bad'], 1, 2]);
  assert.deepEqual([several.probabilities, several.top.length], [undefined, 1]);
  const pairs = predict('numbers', '{"sentence1":"书","sentence2":"贵"}\n', '--jsonl').rows();
  assert.deepEqual(pairs, [{ sentence1: '书', sentence2: '贵', values: { bad: 0, good: 0, dear: 2 } }]);
  const [text] = run('predict.js', ['--model', join(dir, 'numbers'), '贵']).rows();
  assert.deepEqual(text.values, { bad: 0, good: 0, dear: 2 });
});

test('the encoder and encode.js treat the scores as any other output', async () => {
  const place = join(dir, 'single');
  const encoder = await Encoder.load(place, { backend: 'cpu' });
  const [vector] = await encoder.encode(['好']);
  assert.equal(vector.length, 4);
  encoder.dispose();
  const out = join(dir, 'logits.safetensors');
  const { status, stderr } = run('encode.js', ['--bundle', place, '--outputs', 'logits', '--out', out], '好\n贵\n');
  assert.equal(status, 0, stderr);
  const { logits } = readSafetensors(readFileSync(out)).tensors;
  assert.deepEqual(logits.shape, [2, 3]);
  assert.deepEqual([...logits.data], [0, Math.fround(Math.log(3)), -40, 0, 0, 2]);
});

/**
 * Gives a toy bundle a golden case, 好, and an output for each of its checks.
 *
 * @param {string} place
 * @param {number[]} logits
 */
function addGoldenCase(place, logits) {
  const ids = [2, 679, 3]; // [CLS] 好 [SEP]
  const file = join(place, 'golden.safetensors');
  const int = (/** @type {number[]} */ values) => ({
    dtype: /** @type {const} */ ('I32'),
    shape: [1, 3],
    data: Int32Array.from(values),
  });
  const float = (/** @type {number[]} */ shape, /** @type {number[]} */ values) => ({
    dtype: /** @type {const} */ ('F32'),
    shape,
    data: Float32Array.from(values),
  });
  const tensors = {
    input_ids: int(ids),
    attention_mask: int([1, 1, 1]),
    token_type_ids: int([0, 0, 0]),
    sequence_output: float(
      [1, 3, WIDTH],
      ids.flatMap((id) => [...vectorOf(id)]),
    ),
    logits: float([1, 3], logits),
  };
  writeSafetensors(file, tensors, { texts: JSON.stringify(['好']) });
  const bytes = readFileSync(file);
  const path = join(place, 'bundle.json');
  const contract = JSON.parse(readFileSync(path, 'utf8'));
  contract.files['golden.safetensors'] = { sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length };
  contract.outputs = contract.outputs.filter((/** @type {{name: string}} */ { name }) => Object.hasOwn(tensors, name));
  contract.accuracy = { outputs: {}, budget: { atol: 1e-6, rtol: 0 } };
  writeFileSync(path, JSON.stringify(contract));
}

test('verify.js says what the bundle decides, and checks its scores as an output', () => {
  const place = join(dir, 'verified');
  const classifier = { ...CONTRACTS.multi, labels: ['一', '二', '三'] };
  writeToyBundle(place, { classifier, scores: SCORES, otherScores: [-40, -40, -40] });
  addGoldenCase(place, [0, Math.log(3), -40]);
  const good = run('verify.js', ['--bundle', place]);
  assert.equal(good.status, 0, good.stdout + good.stderr);
  const lines = good.stdout.split('\n');
  assert.deepEqual(lines.slice(0, 3), [
    'toy on cpu',
    'decides multi_label by sigmoid of logits: 3 labels (一, 二, 三), threshold 0.6',
    '',
  ]);
  assert.ok(
    lines.some((line) => line.startsWith('logits ') && line.endsWith(' ok')),
    good.stdout,
  );
  const json = JSON.parse(run('verify.js', ['--bundle', place, '--json']).stdout);
  assert.equal(json.decision, lines[1]);
  const other = run('verify.js', ['--model', place]);
  assert.deepEqual([other.status, other.stdout], [2, '']);
  assert.match(other.stderr, /^error: --model: .* is a bundle; check it with --bundle[^\n]+\n$/);
  addGoldenCase(place, [0, 1, -40]);
  const drift = run('verify.js', ['--bundle', place]);
  assert.equal(drift.status, 1);
  assert.match(drift.stdout, /\nlogits .*DRIFT: /);
});

test('train.js trains a new head on the encoder of such a bundle', async () => {
  const place = join(dir, 'trained-on');
  writeToyBundle(place, { classifier: CONTRACTS.single, scores: SCORES, otherScores: [-40, -40, -40] });
  addGoldenCase(place, [0, Math.log(3), -40]);
  const data = join(dir, 'data.jsonl');
  writeFileSync(data, '{"text":"好","label":"x"}\n{"text":"坏","label":"y"}\n');
  const out = join(dir, 'own');
  const settings = ['--train', data, '--dev', data, '--epochs', '1', '--cache', join(dir, 'cache'), '--workers', '1'];
  const { status, stderr } = run('train.js', ['--bundle', place, '--out', out, ...settings]);
  assert.equal(status, 0, stderr);
  const own = await load('own');
  assert.deepEqual([own.labels, own.task, own.problemType], [['x', 'y'], 'single', 'single_label']);
  own.dispose();
});
