/** The package as it is published: packed, installed beside its dependencies, used from TypeScript. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { readSafetensors } from '../../node_bridge/support/safetensors.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const bundle = join(root, 'artifacts', 'bundle', 'albert_tiny');
const dir = mkdtempSync(join(tmpdir(), 'package-'));
const installed = join(dir, 'node_modules', 'bert-bridge');
const classifier = join(dir, 'classifier');
after(() => rmSync(dir, { recursive: true }));

/** @param {string} program @param {string[]} args @param {string} [cwd] */
function run(program, args, cwd = dir) {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8', shell: program.endsWith('.cmd') });
  assert.equal(status, 0, stdout + stderr);
  return stdout;
}

before(() => {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  run(npm, ['pack', '--offline', '--pack-destination', dir], root);
  const { name, version, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  run('tar', ['-xzf', `${name}-${version}.tgz`]);
  mkdirSync(dirname(installed));
  renameSync(join(dir, 'package'), installed);
  // What the package declares, and what a Node project in TypeScript has.
  for (const needed of [...Object.keys(dependencies), '@types/node']) {
    const target = join(dir, 'node_modules', needed);
    mkdirSync(dirname(target), { recursive: true });
    symlinkSync(join(root, 'node_modules', needed), target, 'junction');
  }
  writeFileSync(join(dir, 'package.json'), '{"type": "module"}');
  copyFileSync(join(root, 'tests', 'node', 'consumer', 'consumer.ts'), join(dir, 'consumer.ts'));
});

test('a TypeScript program needs only the exports of the package, and gets Python’s numbers', () => {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const settings = ['--strict', '--noEmitOnError', '--target', 'es2022', '--module', 'nodenext', '--types', 'node'];
  run(process.execPath, [tsc, ...settings, 'consumer.ts']);

  const golden = readSafetensors(Bundle.open(bundle).read('golden.safetensors'));
  /** @type {string[]} */
  const texts = JSON.parse(golden.metadata.texts);
  const data = join(dir, 'data.jsonl');
  writeFileSync(data, texts.map((text, i) => `${JSON.stringify({ text, label: i % 2 })}\n`).join(''));
  const training = ['--train', data, '--dev', data, '--epochs', '1', '--backend', 'wasm', '--out', classifier];
  run(process.execPath, [join(installed, 'node_bridge', 'train.js'), '--bundle', bundle, ...training]);
  const { golden: answers } = JSON.parse(readFileSync(join(classifier, 'classifier.json'), 'utf8'));
  const got = JSON.parse(run(process.execPath, ['consumer.js', bundle, classifier, ...texts]));

  const { input_ids: ids, attention_mask: mask, sequence_output: sequence } = golden.tensors;
  const [, width, hidden] = sequence.shape;
  texts.forEach((_, row) => {
    const visible = Array.from(ids.data.slice(row * width, (row + 1) * width)).filter((_, i) => mask.data[row * width + i] === 1);
    assert.deepEqual(got.ids[row], visible);
    const first = Array.from(sequence.data.slice(row * width * hidden, row * width * hidden + hidden));
    assert.equal(got.vectors[row].length, hidden);
    const worst = first.reduce((most, value, i) => Math.max(most, Math.abs(value - got.vectors[row][i])), 0);
    assert.ok(worst <= 1e-5, `text ${row}: got max |Δ| ${worst}, expected at most 1e-5`);
  });
  assert.equal(got.norms.length, texts.length);
  got.norms.forEach((/** @type {number} */ norm) => assert.ok(Math.abs(norm - 1) < 1e-6));
  assert.deepEqual(
    got.whole,
    texts.map(() => hidden),
  );
  assert.deepEqual(got.lengths.map(Number.isInteger), [true, true]);
  assert.deepEqual(got.shapes.sequence_output, sequence.shape);
  assert.deepEqual(got.tokens, ['[CLS]', '这', '本', '[SEP]']);
  assert.deepEqual(got.offsets, [
    [0, 0],
    [0, 1],
    [1, 2],
    [0, 0],
  ]);

  assert.equal(answers.length, texts.length);
  assert.deepEqual(got.many.map(toGoldenAnswer), answers);
  assert.deepEqual(toGoldenAnswer(got.one), answers[0]);
  assert.deepEqual(got.ranked, [{ label: got.one.label, probability: got.one.probability }]);
  assert.deepEqual(
    got.streamed,
    got.many.flatMap((/** @type {any} */ { text, label }) => [text, label]),
  );
  assert.deepEqual([got.broken, got.mistakes], [['torn'], [true, false]]);
});

test('a CommonJS program can require the package, on the Node versions in `engines`', () => {
  const program = join(dir, 'program.cjs');
  writeFileSync(
    program,
    "const { Tokenizer, Bundle } = require('bert-bridge');\nconsole.log(Tokenizer.fromBundle(Bundle.open(process.argv[2])).encode('好').ids.length);\n",
  );
  assert.equal(run(process.execPath, ['--no-warnings', program, bundle]), '3\n');
});

/** As training keeps it. @param {{text: string, label: string, probabilities: Record<string, number>}} prediction */
function toGoldenAnswer({ text, label, probabilities }) {
  return { text, label, probabilities: Object.values(probabilities) };
}
