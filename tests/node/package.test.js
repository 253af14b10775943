/** The package as it is published: packed, installed with its dependencies, used from TypeScript and by its command. */
import { buildSync } from 'esbuild';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { readSafetensors } from '../../node_bridge/support/safetensors.js';
import { sha256 } from '../../node_bridge/support/sha256.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const bundle = join(root, 'artifacts', 'bundle', 'albert_tiny');
const dir = mkdtempSync(join(tmpdir(), 'package-'));
const installed = join(dir, 'node_modules', 'bert-bridge');
const classifier = join(dir, 'classifier');
after(() => rmSync(dir, { recursive: true }));

/** @param {string} program @param {string[]} args @param {string} [cwd] @param {NodeJS.ProcessEnv} [env] */
function run(program, args, cwd = dir, env = process.env) {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, env, encoding: 'utf8', shell: program.endsWith('.cmd') });
  assert.equal(status, 0, stdout + stderr);
  return stdout;
}

before(() => {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  run(npm, ['pack', '--offline', '--pack-destination', dir], root);
  const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  run('tar', ['-xzf', `${name}-${version}.tgz`]);
  mkdirSync(dirname(installed));
  renameSync(join(dir, 'package'), installed);
  // What npm would install with the package, and what a Node project in TypeScript has.
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const needed = Object.keys(packages).filter((path) => path !== '' && !packages[path].dev && !packages[path].devOptional);
  for (const path of [...needed, 'node_modules/@types/node', 'node_modules/undici-types']) {
    cpSync(join(root, path), join(dir, path), { recursive: true });
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

for (const format of /** @type {const} */ (['esm', 'cjs'])) {
  test(`a program that esbuild bundled (${format}) predicts the same, also in workers`, () => {
    const lines = [
      "import { Classifier } from 'bert-bridge';",
      'const [bundle, dir, ...texts] = process.argv.slice(2);',
      '(async () => {',
      '  for (const workers of [1, 2]) {',
      "    const classifier = await Classifier.load(dir, { bundle, backend: 'wasm', workers });",
      '    console.log(JSON.stringify(await classifier.predict(texts)));',
      '    await classifier.dispose();',
      '  }',
      '})();',
    ];
    const source = join(dir, 'bundled.js');
    writeFileSync(source, lines.join('\n'));
    const outfile = join(dir, format === 'esm' ? 'bundled.mjs' : 'bundled.cjs');
    buildSync({ entryPoints: [source], bundle: true, platform: 'node', format, outfile, logLevel: 'error' });
    const answers = (/** @type {string} */ program) => run(process.execPath, [program, bundle, classifier, '这本书很好', '一般']);
    const [alone, pooled] = answers(outfile).trimEnd().split('\n');
    assert.equal(pooled, alone);
    assert.equal(answers(source), answers(outfile));
  });
}

test('TypeScript finds the types under every way of resolution, in both formats of module', () => {
  const program = `
import { Classifier, type Prediction } from 'bert-bridge';
import { Bundle, Tokenizer } from 'bert-bridge/tokenizer';
export async function label(dir: string): Promise<string> {
  const prediction: Prediction = await (await Classifier.load(dir)).predict('');
  return prediction.label;
}
export const ids = (dir: string): Int32Array => Tokenizer.fromBundle(Bundle.open(dir)).encode('').ids;
`;
  for (const name of ['program.mts', 'program.cts', 'program.ts']) writeFileSync(join(dir, name), program);
  const tsc = [
    join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
    '--noEmit',
    '--strict',
    '--target',
    'es2022',
    '--types',
    'node',
  ];
  run(process.execPath, [...tsc, '--module', 'node16', 'program.mts', 'program.cts']);
  run(process.execPath, [...tsc, '--module', 'esnext', '--moduleResolution', 'bundler', 'program.ts']);
  run(process.execPath, [...tsc, '--module', 'commonjs', '--moduleResolution', 'node10', 'program.ts']);
});

test('bert-bridge/tokenizer loads no TF.js', () => {
  const program = join(dir, 'tokenizer.cjs');
  const lines = [
    "const { Bundle, Tokenizer } = require('bert-bridge/tokenizer');",
    'const { length } = Tokenizer.fromBundle(Bundle.open(process.argv[2])).encode("好").ids;',
    'console.log(length, Object.keys(require.cache).filter((file) => file.includes("tensorflow")).length);',
  ];
  writeFileSync(program, lines.join('\n'));
  assert.equal(run(process.execPath, ['--no-warnings', program, bundle]), '3 0\n');
});

test('a CommonJS program can require the package, on the Node versions in `engines`', () => {
  const program = join(dir, 'program.cjs');
  writeFileSync(
    program,
    "const { Tokenizer, Bundle } = require('bert-bridge');\nconsole.log(Tokenizer.fromBundle(Bundle.open(process.argv[2])).encode('好').ids.length);\n",
  );
  assert.equal(run(process.execPath, ['--no-warnings', program, bundle]), '3\n');
});

test('the package has no tests, no bytecode and no locks of other environments', () => {
  const files = listFiles(installed);
  for (const needed of ['launcher/bert-bridge.js', 'locks/python.txt', 'export/graph/kernels.json', 'types/index.d.ts']) {
    assert.ok(files.includes(needed), needed);
  }
  const unwanted = /^(tests|bench|fault_injection|docs|artifacts)\/|\.pyc$|__pycache__|noxfile|locks\/judge/;
  assert.deepEqual(
    files.filter((file) => unwanted.test(file)),
    [],
  );
});

const python = join(root, '.nox', 'python');
test('in an empty project the commands export, train, predict and compare, and write nothing into the package', {
  skip: existsSync(python) ? false : 'there is no Python environment here',
}, () => {
  const project = join(dir, 'project');
  mkdirSync(project);
  const before = hashFiles(installed);
  const env = { ...process.env, BERT_BRIDGE_PYTHON: python, npm_command: 'exec' };
  const command = (/** @type {string[]} */ ...args) =>
    run(process.execPath, [join(installed, 'launcher', 'bert-bridge.js'), ...args], project, env);
  command('export', '--train', '40', '--dev', '16');
  const trained = command('train', '--epochs', '1', '--backend', 'wasm');
  assert.match(trained, /echo 这本书很好 \| npx bert-bridge predict --model artifacts\/classifier/);
  assert.equal(JSON.parse(command('predict', '--model', 'artifacts/classifier', '这本书很好')).text, '这本书很好');
  const report = JSON.parse(command('parity', '--backends', 'wasm:8', '--tokenizer-proof', 'none', '--json'));
  assert.equal(report.verdict, 'pass');
  assert.equal(report.classifier.path, 'artifacts/classifier');
  assert.deepEqual(readdirSync(join(project, 'artifacts')).sort(), [
    'bundle',
    'cache',
    'classifier',
    'data',
    'made.json',
    'models',
    'parity',
    'reference',
    'vocab.txt',
  ]);
  // An untrusted model runs confined, also where the packages are around this one.
  command('export', 'model', 'artifacts/models/albert_tiny', '--tokenizer-model', 'artifacts/models/tokenizer', '--out', 'again');
  assert.deepEqual(hashFiles(installed), before);
});

/** The files below a directory. @param {string} folder */
function listFiles(folder) {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return found.map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll('\\', '/')).sort();
}

/** @param {string} folder */
function hashFiles(folder) {
  return listFiles(folder).map((file) => `${file} ${sha256(readFileSync(join(folder, file)))}`);
}

/** As training keeps it. @param {{text: string, label: string, probabilities: Record<string, number>}} prediction */
function toGoldenAnswer({ text, label, probabilities }) {
  return { text, label, probabilities: Object.values(probabilities) };
}
