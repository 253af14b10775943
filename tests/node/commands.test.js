/** The commands as a person types them, on the embedded bundle and a few of its reviews. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { readSafetensors, writeSafetensors } from '../../node_bridge/support/safetensors.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const bundle = join(root, 'artifacts', 'bundle', 'albert_tiny');
const dir = mkdtempSync(join(tmpdir(), 'commands-'));
const classifier = join(dir, 'classifier');
const cache = join(dir, 'cache');

/** @param {string} script @param {string[]} args @param {string} [input] */
function command(script, args, input = '') {
  const path = join(root, 'node_bridge', script);
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...args], { input, encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** @param {string} name @param {object[] | string} rows */
function file(name, rows) {
  const path = join(dir, name);
  writeFileSync(path, typeof rows === 'string' ? rows : rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}

/** @param {string} split @param {number} count */
function reviews(split, count) {
  const lines = readFileSync(join(root, 'artifacts', 'data', `${split}.jsonl`), 'utf8').split('\n');
  return file(`${split}.jsonl`, `${lines.slice(0, count).join('\n')}\n`);
}

/** @type {string[]} */
let options;

before(() => {
  const data = ['--train', reviews('train', 60), '--dev', reviews('dev', 20)];
  options = ['--bundle', bundle, ...data, '--max-length', '24', '--epochs', '2', '--cache', cache];
});

/** @param {{status: number | null, stdout: string, stderr: string}} result @param {RegExp} message */
function assertMistake({ status, stdout, stderr }, message) {
  assert.equal(status, 2, stderr);
  assert.equal(stdout, '');
  assert.match(stderr, /^error: [^\n]+\n$/);
  assert.match(stderr, message);
}

test('train.js reports what it did, and new processes predict the same', () => {
  const trained = command('train.js', [...options, '--out', classifier, '--json']);
  assert.equal(trained.status, 0, trained.stderr);
  const { trained: hasTrainedWeights } = JSON.parse(readFileSync(join(bundle, 'bundle.json'), 'utf8'));
  assert.match(trained.stderr, hasTrainedWeights ? /\(trained weights\)/ : /UNTRAINED WEIGHTS/);
  const summary = JSON.parse(trained.stdout);
  assert.equal(summary.history.length, 2);
  assert.equal(summary.history[0].tensors, summary.history[1].tensors);
  assert.equal(
    summary.confusion.flat().reduce((/** @type {number} */ a, /** @type {number} */ b) => a + b),
    20,
  );
  assert.deepEqual(readdirSync(classifier).sort(), [
    'classifier.json',
    'log.jsonl',
    'model.json',
    'training.html',
    'weights.bin',
  ]);

  // On wasm an answer is the same to the last bit, alone or among others.
  const predict = ['--model', classifier, '--backend', 'wasm'];
  const one = command('predict.js', [...predict, '这本书很好']);
  const many = command('predict.js', predict, '房间很小\n这本书很好\n一般\n');
  assert.equal(one.status, 0, one.stderr);
  const lines = many.stdout.trimEnd().split('\n');
  assert.equal(lines.length, 3);
  assert.equal(one.stdout, `${lines[1]}\n`);
  const { text, label, probabilities } = JSON.parse(one.stdout);
  assert.equal(text, '这本书很好');
  assert.ok(['0', '1'].includes(label));
  assert.ok(Math.abs(probabilities[0] + probabilities[1] - 1) < 1e-6);
});

test('train.js and predict.js take pairs in the format of LCQMC, with three labels', () => {
  const rows = Array.from({ length: 12 }, (_, i) => ({ sentence1: `问题${i}`, sentence2: `答案${i}`, label: String(i % 3) }));
  const path = file('pairs.json', rows);
  const out = join(dir, 'pairs');
  const trained = command('train.js', [
    '--bundle',
    bundle,
    '--train',
    path,
    '--dev',
    path,
    '--epochs',
    '1',
    '--out',
    out,
    '--cache',
    cache,
  ]);
  assert.equal(trained.status, 0, trained.stderr);
  const input = '{"sentence1":"问题","sentence2":"答案"}\n';
  const { status, stdout } = command('predict.js', ['--model', out, '--jsonl'], input);
  assert.equal(status, 0);
  assert.deepEqual(Object.keys(JSON.parse(stdout).probabilities), ['0', '1', '2']);
});

test('a classifier refuses a bundle that it was not trained on', () => {
  const other = join(dir, 'other');
  cpSync(bundle, other, { recursive: true });
  const contract = JSON.parse(readFileSync(join(other, 'bundle.json'), 'utf8'));
  writeFileSync(join(other, 'bundle.json'), JSON.stringify({ ...contract, name: 'other' }));
  const result = command('predict.js', ['--model', classifier, '--bundle', other, '好']);
  assertMistake(result, /was trained on the bundle with hash [0-9a-f]{64}, but .* has [0-9a-f]{64}/);
});

test('a damaged bundle is refused by the name of its file', () => {
  const damaged = join(dir, 'damaged');
  cpSync(bundle, damaged, { recursive: true });
  rmSync(join(damaged, 'group1-shard2of2.bin'));
  const withDamage = ['--bundle', damaged, ...options.slice(2), '--backend', 'wasm', '--out', join(dir, 'x')];
  assertMistake(command('train.js', withDamage), /group1-shard2of2\.bin is missing/);
  // Whatever the backend reads of it.
  assertMistake(command('verify.js', ['--bundle', damaged]), /group1-shard2of2\.bin is missing/);
});

test('verify.js passes a bundle that gives its golden cases, and fails one with another vector', () => {
  const good = command('verify.js', ['--bundle', bundle]);
  assert.equal(good.status, 0, good.stderr);
  assert.match(good.stdout, /^ids +equal +equal {2}ok$/m);
  assert.match(good.stdout, /^sequence_output .* ok$/m);

  // A golden value is changed and the contract sealed anew, so that no hash gives it away.
  const other = join(dir, 'golden');
  cpSync(bundle, other, { recursive: true });
  const path = join(other, 'golden.safetensors');
  const { tensors, metadata } = readSafetensors(readFileSync(path));
  tensors.pooled_output.data[7] += 2e-5;
  writeSafetensors(path, tensors, metadata);
  const contract = JSON.parse(readFileSync(join(other, 'bundle.json'), 'utf8'));
  const bytes = readFileSync(path);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  contract.files['golden.safetensors'] = { sha256, size: bytes.length };
  writeFileSync(join(other, 'bundle.json'), JSON.stringify(contract));
  const bad = command('verify.js', ['--bundle', other]);
  assert.equal(bad.status, 1, bad.stderr);
  assert.match(bad.stdout, /^pooled_output .* DRIFT: got -?0\.\d+ at \[0,7\], expected /m);
  assert.match(bad.stdout, /^sequence_output .* ok$/m);
});

const BAD_DATA = [
  { name: 'empty', rows: '', message: /no data|empty/ },
  { name: 'no labels', rows: '{"text":"好"}\n', message: /label/ },
  { name: 'one label', rows: '{"text":"好","label":1}\n{"text":"不","label":1}\n', message: /one label|only label/i },
  { name: 'broken JSON', rows: '{"text":"好","label":1}\n{"text":\n', message: /:2: broken JSON/ },
];
for (const { name, rows, message } of BAD_DATA) {
  test(`train.js refuses this data and writes nothing: ${name}`, () => {
    const path = file('bad.jsonl', rows);
    const out = join(dir, 'bad');
    assertMistake(
      command('train.js', ['--bundle', bundle, '--train', path, '--dev', path, '--out', out, '--cache', cache]),
      message,
    );
    assert.equal(existsSync(out), false);
  });
}

test('an unknown backend is refused', () => {
  assertMistake(
    command('train.js', [...options, '--backend', 'cuda', '--out', join(dir, 'x')]),
    /--backend to be one of auto, native, wasm, cpu, got `cuda`/,
  );
});

test('a directory that cannot be written is refused before any work', { skip: process.platform !== 'linux' }, () => {
  // /sys takes no new folders from anyone, not even from root.
  assertMistake(command('train.js', [...options, '--out', '/sys/classifier']), /at \/sys/);
});
