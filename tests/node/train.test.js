import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { useBackend } from '../../node_bridge/backends/index.js';
import { Classifier } from '../../node_bridge/classifier/classifier.js';
import { buildProblem, TrainingCheckpoint, trainHead } from '../../node_bridge/classifier/training/training.js';
import { Dataset } from '../../node_bridge/data/dataset.js';
import { FeatureStore, encodeMissing } from '../../node_bridge/encoder/feature_cache.js';
import { encodeFeatures } from '../../node_bridge/encoder/features.js';
import { HIDDEN, ToyEncoder, toyTokenizer } from './toys.js';

const DIR = mkdtempSync(join(tmpdir(), 'train-'));
after(() => rmSync(DIR, { recursive: true }));

/** @typedef {Partial<import('../../node_bridge/classifier/training/training.js').TrainingSettings>} Some */
const SETTINGS = /** @type {const} */ ({
  head: 'dense',
  epochs: 8,
  patience: Infinity,
  batchSize: 16,
  seed: 1,
  learningRate: 0.005,
  schedule: 'constant',
  bestBy: 'accuracy',
});
let names = 0;

/** @param {string} [name] @returns {string} a new directory */
function createDirectory(name = 'cache') {
  names += 1;
  return join(DIR, `${name}-${names}`);
}

/** @param {[string, string, string?][]} rows text, label, pair @param {string} name */
function dataset(rows, name) {
  const path = join(DIR, name);
  const objects = rows.map(([text, label, pair]) =>
    pair === undefined ? { text, label } : { sentence1: text, sentence2: pair, label },
  );
  writeFileSync(path, objects.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return Dataset.read(path);
}

/** Reviews with 好 or 坏, 0 to 6 other characters around. @param {number} count @param {number} from */
function reviews(count, from) {
  return Array.from({ length: count }, (_, i) => {
    const word = (from + i) % 2 === 0 ? '好' : '坏';
    return /** @type {[string, string]} */ (['书'.repeat((from + i) % 7) + word, word === '好' ? '1' : '0']);
  });
}

const SILENT = { progress: () => ({ advance() {}, done() {}, stop() {} }), noteOf: () => '', say() {} };

/** @param {[string, string, string?][]} train @param {[string, string, string?][]} dev */
async function createProblem(train, dev) {
  const [one, other] = [await dataset(train, 'train.jsonl'), await dataset(dev, 'dev.jsonl')];
  return { ...buildProblem(one, other), golden: other };
}

/**
 * @param {import('../../node_bridge/classifier/training/training.js').TrainingProblem} problem
 * @param {{some?: Some, encoder?: ToyEncoder, listener?: any, checkpoint?: TrainingCheckpoint}} [how]
 */
async function trained(
  problem,
  { some = {}, encoder = new ToyEncoder(), listener = SILENT, checkpoint = new TrainingCheckpoint(createDirectory(), []) } = {},
) {
  const store = FeatureStore.open(createDirectory(), HIDDEN, assert.fail);
  const pooling = some.head === 'bilstm' ? 'sequence_output' : 'position 0 of sequence_output';
  await encodeMissing(
    store,
    [problem.train, problem.dev],
    { tokenizer: toyTokenizer, encoder },
    { maxLength: 12, pooling, onEncoded() {} },
  );
  const settings = { ...SETTINGS, classWeights: problem.labels.map(() => 1), ...some };
  return trainHead(problem, store, settings, checkpoint, listener);
}

test('trains on texts, each distinct one encoded once; predicts the same probabilities', async () => {
  await useBackend('wasm');
  const encoder = new ToyEncoder();
  const tools = { tokenizer: toyTokenizer, encoder };
  /** @type {string[]} */
  const notes = [];
  const listener = {
    progress: (/** @type {string} */ title, /** @type {number} */ total) => ({
      advance() {},
      stop() {},
      done: (/** @type {string} */ note) => notes.push(`${title}, ${total}, ${note}`),
    }),
    noteOf: (/** @type {{epoch: number}} */ { epoch }) => `note ${epoch}`,
    say: assert.fail,
  };
  const { head, dev, history, bestEpoch, golden } = await trained(await createProblem(reviews(200, 0), reviews(40, 3)), {
    encoder,
    listener,
  });
  assert.equal(encoder.batches.flat().length, 14, '7 lengths of 2 words');
  assert.equal(notes[7], 'epoch 8 of 8, 200, note 8');
  assert.equal(notes.length, 8);
  assert.equal(dev.accuracy, 1);
  assert.deepEqual(dev.confusion.matrix, [
    [20, 0],
    [0, 20],
  ]);
  assert.equal(new Set(history.map(({ tensors }) => tensors)).size, 1);
  // Scaled while training, folded afterwards: the same but for rounding.
  assert(Math.abs(history[bestEpoch - 1].devLoss - dev.loss) < 1e-5);
  assert.deepEqual(
    golden.map(({ text }) => text),
    reviews(40, 3).map(([text]) => text),
  );

  const texts = reviews(2000, 1).map(([text]) => ({ text }));
  const before = tf.memory().numTensors;
  const predictions = await new Classifier({ ...tools, head }).predict(texts);
  assert.equal(tf.memory().numTensors, before);
  const rows = await head.probabilities(await encodeFeatures(texts, tools));
  assert.deepEqual(
    predictions.map(({ text }) => text),
    texts.map(({ text }) => text),
  );
  predictions.forEach(({ text, label, probability, probabilities }, i) => {
    assert.equal(label, text?.endsWith('好') ? '1' : '0');
    assert.deepEqual(probabilities, { 0: rows[i][0], 1: rows[i][1] });
    assert.equal(probability, Math.max(...rows[i]));
  });
});

for (const head of ['linear', 'bilstm']) {
  test(`${head}: learns pairs and more than two labels`, async () => {
    await useBackend('wasm');
    const rows = Array.from({ length: 120 }, (_, i) => {
      const kind = i % 3;
      return /** @type {[string, string, string]} */ ([
        '好'.repeat(Number(kind > 0)),
        `类${kind}`,
        '坏'.repeat(Number(kind === 2)),
      ]);
    });
    const problem = await createProblem(rows, rows.slice(0, 9));
    const result = await trained(problem, { some: { head, epochs: 20, learningRate: 0.02 } });
    assert.equal(result.dev.accuracy, 1);
    const classifier = new Classifier({ tokenizer: toyTokenizer, encoder: new ToyEncoder(), head: result.head });
    const predictions = await classifier.predict([
      { text: '好', pair: '坏' },
      { text: '', pair: '' },
    ]);
    assert.deepEqual(Object.keys(predictions[0]), ['sentence1', 'sentence2', 'label', 'probability', 'probabilities']);
    assert.deepEqual(
      predictions.map(({ label }) => label),
      ['类2', '类0'],
    );
  });
}

for (const head of ['dense', 'bilstm']) {
  test(`${head}: stopped after any epoch, training continues to the same weights, to the bit`, async () => {
    await useBackend('wasm');
    const problem = await createProblem(reviews(60, 0), reviews(20, 3));
    const some = /** @type {Some} */ ({ head, epochs: 4, schedule: 'cosine' });
    const whole = await trained(problem, { some });
    const expected = await whole.head.weights();
    for (const stop of [1, 3]) {
      const checkpoint = new TrainingCheckpoint(createDirectory(), []);
      /** @type {string[]} */
      const said = [];
      const killed = new Error('killed');
      const listener = {
        ...SILENT,
        say: (/** @type {string} */ line) => said.push(line),
        progress: (/** @type {string} */ title) => {
          if (title.startsWith(`epoch ${stop + 1} of`)) throw killed;
          return SILENT.progress();
        },
      };
      await assert.rejects(trained(problem, { some, checkpoint, listener }), killed);
      const again = await trained(problem, { some, checkpoint, listener: { ...SILENT, say: listener.say } });
      assert.deepEqual(said, [`going on after epoch ${stop}, which an earlier run finished`]);
      assert.deepEqual(await again.head.weights(), expected);
      assert.deepEqual(again.golden, whole.golden);
    }
  });
}

test('a damaged checkpoint is removed, and training starts again with the same result', async () => {
  await useBackend('wasm');
  const problem = await createProblem(reviews(60, 0), reviews(20, 3));
  const checkpoint = new TrainingCheckpoint(createDirectory(), []);
  const first = await trained(problem, { some: { epochs: 2 }, checkpoint });
  const bytes = readFileSync(checkpoint.path);
  bytes[bytes.length - 9] ^= 1;
  writeFileSync(checkpoint.path, bytes);
  /** @type {string[]} */
  const said = [];
  const again = await trained(problem, {
    some: { epochs: 2 },
    checkpoint,
    listener: { ...SILENT, say: (/** @type {string} */ line) => said.push(line) },
  });
  assert.match(said[0], /does not have the sha256 it names; training starts at epoch 1$/);
  assert.deepEqual(await again.head.weights(), await first.head.weights());
});

test('the best epoch by macro-F1 may differ from that by accuracy', async () => {
  await useBackend('wasm');
  // Whoever always says 1 is right in 84 of 92 dev texts, and has a macro-F1 of 0.48; whoever goes by
  // the word, as training teaches in the end, in 80, and has 0.75.
  const [good, bad] = ['1', '0'].map((label) => reviews(200, 0).filter((row) => row[1] === label));
  const train = [...good.slice(0, 60), ...bad.slice(0, 12)];
  const misleading = bad.slice(0, 12).map(([text]) => /** @type {[string, string]} */ ([text, '1']));
  const dev = [...good.slice(0, 72), ...misleading, ...bad.slice(0, 8)];
  const problem = await createProblem(train, dev);
  const some = { head: 'linear', epochs: 6, learningRate: 0.03 };
  const byAccuracy = await trained(problem, { some });
  const byF1 = await trained(problem, { some: { ...some, bestBy: 'macro-f1' } });
  assert.deepEqual(
    byF1.history.map(({ devLoss }) => devLoss),
    byAccuracy.history.map(({ devLoss }) => devLoss),
    'the same epochs',
  );
  const figures = (/** @type {typeof byF1} */ { history, bestEpoch }) => [
    history[bestEpoch - 1].devAccuracy,
    history[bestEpoch - 1].devMacroF1,
  ];
  const near = (/** @type {number[]} */ got, /** @type {number[]} */ expected) =>
    got.forEach((value, i) => assert(Math.abs(value - expected[i]) < 1e-12, String(got)));
  near(figures(byAccuracy), [84 / 92, 168 / 176 / 2]);
  near(figures(byF1), [80 / 92, (16 / 28 + 144 / 156) / 2]);
});

test('the best epoch is saved, and patience ends training', async () => {
  await useBackend('wasm');
  // Dev labels are the opposite of what training teaches: every epoch makes it worse.
  const wrong = reviews(20, 3).map(([text, label]) => /** @type {[string, string]} */ ([text, label === '1' ? '0' : '1']));
  const result = await trained(await createProblem(reviews(60, 0), wrong), {
    some: { epochs: 30, patience: 3, learningRate: 0.02 },
  });
  assert.equal(result.history.length, result.bestEpoch + 3);
  assert(result.history.length < 30);
  const best = Math.max(...result.history.map(({ devAccuracy }) => devAccuracy));
  assert.equal(result.history[result.bestEpoch - 1].devAccuracy, best);
});

test('class weights move predictions to the label with the larger weight', async () => {
  await useBackend('wasm');
  // One text with both labels, as often: nothing but the weights decides.
  const rows = Array.from({ length: 40 }, (_, i) => /** @type {[string, string]} */ (['书', String(i % 2)]));
  for (const [weights, share] of /** @type {[number[], number][]} */ ([
    [[1, 1], 0.5],
    [[1, 3], 0.75],
    [[4, 1], 0.2],
  ])) {
    // The best epoch is the one that suits the dev texts, so they have these shares too.
    const problem = await createProblem(
      rows,
      Array.from({ length: 20 }, (_, i) => ['书', String(Number(i < 20 * share))]),
    );
    const { golden } = await trained(problem, { some: { classWeights: weights, epochs: 60, learningRate: 0.02, batchSize: 40 } });
    assert(Math.abs(golden[0].probabilities[1] - share) < 0.02, `${weights}: got ${golden[0].probabilities[1]}`);
  }
});

test('a schedule ends with a low rate; the rates are in the history', async () => {
  await useBackend('wasm');
  const problem = await createProblem(reviews(20, 0), reviews(6, 3));
  const rates = async (/** @type {Some['schedule']} */ schedule) =>
    (await trained(problem, { some: { schedule, epochs: 4, learningRate: 0.004 } })).history.map(({ learningRate }) =>
      Number(learningRate.toFixed(6)),
    );
  assert.deepEqual(await rates('constant'), [0.004, 0.004, 0.004, 0.004]);
  assert.deepEqual(await rates('linear'), [0.004, 0.003, 0.002, 0.001]);
  assert.deepEqual(await rates('cosine'), [0.004, 0.003414, 0.002, 0.000586]);
});

test('data sets that cannot be learned are refused', async () => {
  await assert.rejects(createProblem(reviews(4, 0), [['a', '2']]), /dev\.jsonl:1: the label "2" is in no training text/);
  await assert.rejects(createProblem(reviews(4, 0), [['a', '1', 'b']]), /dev\.jsonl pair ones/);
  await assert.rejects(createProblem([['a', '1']], reviews(4, 0)), /train\.jsonl has one label only/);
});

test('only finished files are left in a cache', async () => {
  await useBackend('wasm');
  const cache = createDirectory();
  const checkpoint = new TrainingCheckpoint(cache, ['this']);
  await trained(await createProblem(reviews(20, 0), reviews(6, 3)), { checkpoint, some: { epochs: 1 } });
  assert.equal(readdirSync(checkpoint.dir).length, 1);
  assert.notEqual(new TrainingCheckpoint(cache, ['that']).path, checkpoint.path);
  checkpoint.remove();
  assert.deepEqual(readdirSync(checkpoint.dir), []);
});
