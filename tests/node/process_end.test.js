/** Programs end by themselves: with encoders in worker threads or in this one, used or not, after an error, never disposed of. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { EncoderPool } from '../../node_bridge/encoder/encoder_pool.js';
import { EnvironmentProblem } from '../../node_bridge/support/errors.js';
import { resealClassifier } from './toys.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const bundle = join(root, 'artifacts', 'bundle', 'albert_tiny');
const dir = mkdtempSync(join(tmpdir(), 'process-end-'));
const classifier = join(dir, 'classifier');
/** Only a guard: what has not ended by then never does. */
const GUARD = 120_000;

before(() => {
  const lines = readFileSync(join(root, 'artifacts', 'data', 'train.jsonl'), 'utf8')
    .split('\n')
    .slice(0, 24);
  const data = join(dir, 'data.jsonl');
  writeFileSync(data, `${lines.join('\n')}\n`);
  const options = [
    '--bundle',
    bundle,
    '--train',
    data,
    '--dev',
    data,
    '--max-length',
    '6',
    '--epochs',
    '1',
    '--backend',
    'wasm',
    '--workers',
    '1',
  ];
  const train = [join(root, 'node_bridge', 'train.js'), ...options, '--cache', join(dir, 'cache'), '--out', classifier];
  const { status, stderr } = spawnSync(process.execPath, train, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
});
after(() => rmSync(dir, { recursive: true }));

/**
 * Runs a program whose stdin stays open, as a terminal's or another program's does.
 *
 * @param {string[]} args
 * @param {string} [input] what comes on stdin
 * @param {boolean} [close] whether stdin ends after that
 * @returns {Promise<{code: number | null, signal: string | null, stdout: string, stderr: string}>}
 */
function finished(args, input = '', close = false) {
  const child = spawn(process.execPath, args, { stdio: 'pipe', timeout: GUARD, killSignal: 'SIGKILL' });
  const said = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (said.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (said.stderr += text));
  child.stdin.on('error', () => {}); // the program may have gone before it read
  child.stdin.write(input);
  if (close) child.stdin.end();
  return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, ...said })));
}

/** @param {string} body of a program that has `classifier` @param {string} workers @param {string} [input] */
async function program(body, workers, input) {
  const path = join(dir, `${Math.random()}.mjs`);
  const library = JSON.stringify(pathToFileURL(join(root, 'node_bridge', 'index.js')).href);
  writeFileSync(
    path,
    `import { Classifier } from ${library};
     const classifier = await Classifier.load(${JSON.stringify(classifier)}, { backend: 'wasm', workers: ${workers} });
     ${body}`,
  );
  return finished([path], input);
}

/** @param {Awaited<ReturnType<typeof finished>>} result @param {number} [code] any but 0 where none is expected */
function assertEnded({ code: got, signal, stderr }, code) {
  assert.equal(signal, null, `it did not end by itself; ${stderr}`);
  if (code === undefined) assert.notEqual(got, 0);
  else assert.equal(got, code, stderr);
}

test('predict.js ends with fewer batches than workers', async () => {
  const path = join(root, 'node_bridge', 'predict.js');
  const options = ['--model', classifier, '--backend', 'wasm', '--workers', '4'];
  const result = await finished([path, ...options], '好\n', true);
  assertEnded(result, 0);
  assert.equal(JSON.parse(result.stdout).text, '好');
});

test('predict.js with workers ends after the classifier was refused', async () => {
  const other = join(dir, 'refused');
  cpSync(classifier, other, { recursive: true });
  resealClassifier(other, (description) => (description.bundle.hash = '0'.repeat(64)));
  const options = ['--model', other, '--bundle', bundle, '--backend', 'wasm', '--workers', '3', '好'];
  const result = await finished([join(root, 'node_bridge', 'predict.js'), ...options]);
  assertEnded(result, 2);
  assert.match(result.stderr, /was trained on the bundle with hash 0{64}/);
});

for (const workers of ['1', '3']) {
  test(`a program that never disposes of its classifier ends, workers: ${workers}`, async () => {
    assertEnded(await program(``, workers), 0);
    assertEnded(await program(`await classifier.predict('好');`, workers), 0);
    const often = await program(
      `for (let i = 0; i < 5; i += 1) await classifier.predict(['好', '不好', '很好的书']);
       await Promise.all(['一', '二二', '三三三'].map((text) => classifier.predict(text)));
       await classifier.predict(7).catch((error) => console.log(error.message));`,
      workers,
    );
    assertEnded(often, 0);
    assert.match(often.stdout, /texts\[0\]: got 7/);
  });

  test(`a program that leaves a stream halfway ends, workers: ${workers}`, async () => {
    const endless = await program(
      `async function* texts() { for (let i = 0; ; i += 1) yield '好'.repeat(i % 9); }
       for await (const { text } of classifier.stream(texts())) if (text.length === 5) break;
       const answers = classifier.stream(texts()); // and one that is not even closed
       await answers.next();`,
      workers,
    );
    assertEnded(endless, 0);
    // A source that would give more, if more came.
    const chunks = `process.stdin.setEncoding('utf8');
      for await (const { text } of classifier.stream(process.stdin)) { console.log(text); break; }`;
    assertEnded(await program(chunks, workers, '好'), 0);
  });

  test(`a program that fails ends with its error, workers: ${workers}`, async () => {
    const thrown = await program(`await classifier.predict(['好', null]);`, workers);
    assertEnded(thrown);
    assert.match(thrown.stderr, /texts\[1\]: got null/);
  });
}

/** A worker thread as the pool sees it. */
class FakeWorker extends EventEmitter {
  ended = false;
  holds = true;
  /** @type {any[]} */
  questions = [];
  ref() {
    this.holds = true;
  }
  unref() {
    this.holds = false;
  }
  /** @param {any} question */
  postMessage(question) {
    this.questions.push(question);
  }
  /** As Node's, it holds the program until the worker has ended. */
  async terminate() {
    this.ref();
    await turn();
    this.ended = true;
    this.emit('exit', 1);
  }
}

/** @param {number} count @returns {[FakeWorker[], EncoderPool]} */
function fakePool(count) {
  const workers = Array.from({ length: count }, () => new FakeWorker());
  const contract = { inputs: [{ shape: ['batch', 'sequence'] }] };
  return [workers, new EncoderPool(/** @type {any} */ (workers), /** @type {any} */ ({ contract }), '')];
}

const text = { ids: Int32Array.of(1), typeIds: new Int32Array(1) };

test('a worker keeps the program running only while it works', async () => {
  const [workers, pool] = fakePool(2);
  assert.deepEqual(
    workers.map(({ holds }) => holds),
    [false, false],
  );
  const answer = pool.firstPosition([text]);
  assert.deepEqual(
    workers.map(({ holds }) => holds),
    [false, true],
  );
  workers[1].emit('message', { result: [Float32Array.of(1)] });
  assert.deepEqual(await answer, [Float32Array.of(1)]);
  assert.deepEqual(
    workers.map(({ holds }) => holds),
    [false, false],
  );
});

test('if one worker ends, all jobs fail and the other workers are ended', async () => {
  const [workers, pool] = fakePool(2);
  const asked = [1, 2, 3].map(() => assert.rejects(pool.sequences([text]), EnvironmentProblem));
  workers[1].emit('exit', 1);
  // What the other one was about to say is of no use to anybody.
  workers[0].emit('message', { result: [Float32Array.of(1)] });
  await Promise.all(asked);
  await turn();
  assert.equal(workers[0].ended, true);
  await assert.rejects(pool.means([text]), EnvironmentProblem);
});

test('a worker that answers while it is being ended keeps the program running, and its job fails', async () => {
  const [workers, pool] = fakePool(1);
  const asked = assert.rejects(pool.sequences([text]), /have been disposed of/);
  const disposed = pool.dispose();
  workers[0].emit('message', { result: [Float32Array.of(1)] });
  assert.equal(workers[0].holds, true);
  await disposed;
  await asked;
});
