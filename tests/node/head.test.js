import * as tf from '@tensorflow/tfjs-core';
import { loadLayersModel } from '@tensorflow/tfjs-layers';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { useBackend } from '../../node_bridge/backends/index.js';
import { verifyClassifier } from '../../node_bridge/classifier/golden_answers.js';
import { readClassifier, readDescription } from '../../node_bridge/classifier/classifier_files.js';
import { evaluate } from '../../node_bridge/classifier/evaluation/evaluation.js';
import { featuresInMemory } from '../../node_bridge/classifier/training/feature_sets.js';
import { fitHead } from '../../node_bridge/classifier/training/fitting.js';
import { Head } from '../../node_bridge/classifier/head.js';
import { CheckFailed, UserError } from '../../node_bridge/support/errors.js';
import { resealClassifier, toyBundle } from './toys.js';

const HIDDEN = 6;
const LABELS = ['差', '中', '好'];
const DIR = mkdtempSync(join(tmpdir(), 'classifier-'));
after(() => rmSync(DIR, { recursive: true }));

/** Three clouds around corners of a cube, 20 points each: linearly separable. */
const FEATURES = Array.from({ length: 60 }, (_, i) =>
  Float32Array.from({ length: HIDDEN }, (_, axis) => (axis === i % 3 ? 1 : 0) + Math.sin(31 * i + axis) / 10),
);
const TARGETS = Int32Array.from(FEATURES, (_, i) => i % 3);

const DETAILS = /** @type {const} */ ({
  task: 'single',
  max_length: 16,
  special_tokens: 'added',
  bundle: { hash: 'a'.repeat(64), dir: '../toy' },
  backend: 'wasm',
  seed: 1,
  epochs: 2,
  best_epoch: 2,
  best_by: 'accuracy',
  batch_size: 8,
  learning_rate: 0.001,
  schedule: 'constant',
  class_weights: /** @type {number[]} */ ([1, 1, 1]),
  dev_accuracy: 1,
  dev_macro_f1: 1,
});

/** @param {object} [options] @param {number} [seed] */
async function trained(options = {}, seed = 1) {
  const classifier = Head.create({ hidden: HIDDEN, labels: LABELS, seed });
  await fitHead(classifier, featuresInMemory(FEATURES, HIDDEN), TARGETS, { epochs: 2, batchSize: 8, seed, ...options });
  return classifier;
}

/** @param {Head} classifier @param {string} name */
async function saved(classifier, name) {
  const dir = join(DIR, name);
  await classifier.save(dir, DETAILS);
  return dir;
}

/** Weights by name, read from the files without TF.js. @param {string} dir */
function weightsIn(dir) {
  const [{ weights }] = JSON.parse(readFileSync(join(dir, 'model.json'), 'utf8')).weightsManifest;
  const all = new Float32Array(new Uint8Array(readFileSync(join(dir, 'weights.bin'))).buffer);
  let at = 0;
  /** @type {[string, Float32Array][]} */
  const entries = weights.map((/** @type {{name: string, shape: number[]}} */ { name, shape }) => {
    const size = shape.reduce((a, b) => a * b, 1);
    at += size;
    return [name, all.subarray(at - size, at)];
  });
  assert.equal(at, all.length);
  return Object.fromEntries(entries);
}

for (const backend of ['wasm', 'cpu']) {
  test(`${backend}: learns a separable set; the number of tensors stays constant and none is left`, async () => {
    await useBackend(backend);
    const before = tf.memory().numTensors;
    /** @type {number[]} */
    const tensors = [];
    /** @type {number[]} */
    const losses = [];
    let rows = 0;
    const classifier = await trained({
      epochs: 6,
      onBatch: (/** @type {number} */ count) => (rows += count),
      onEpoch: async (/** @type {import('../../node_bridge/classifier/training/fitting.js').EpochFigures} */ epoch) => {
        await turn();
        tensors.push(epoch.tensors);
        losses.push(epoch.loss);
      },
    });
    const { accuracy, loss, confusion } = await evaluate(classifier, featuresInMemory(FEATURES, HIDDEN), TARGETS);
    assert.equal(accuracy, 1);
    assert.deepEqual(confusion.matrix, [
      [20, 0, 0],
      [0, 20, 0],
      [0, 0, 20],
    ]);
    assert(loss < losses[0]);
    assert.equal(rows, 6 * FEATURES.length);
    assert.equal(new Set(tensors).size, 1, `tensors in each epoch: ${tensors}`);
    classifier.dispose();
    assert.equal(tf.memory().numTensors, before);
  });

  test(`${backend}: the figures of an epoch are means over texts, also if the last batch is smaller`, async () => {
    await useBackend(backend);
    /** @type {import('../../node_bridge/classifier/training/fitting.js').EpochFigures[]} */
    const epochs = [];
    // With the learning rate 0 the weights do not change, so that the means are those of the head itself.
    const classifier = await trained({
      epochs: 1,
      batchSize: 16,
      learningRate: 0,
      onEpoch: async (/** @type {import('../../node_bridge/classifier/training/fitting.js').EpochFigures} */ epoch) => {
        epochs.push(epoch);
      },
    });
    const { accuracy, loss } = await evaluate(classifier, featuresInMemory(FEATURES, HIDDEN), TARGETS);
    assert.notEqual(FEATURES.length % 16, 0);
    assert(Math.abs(epochs[0].loss - loss) < 1e-5, `got ${epochs[0].loss}, expected ${loss}`);
    assert(Math.abs(epochs[0].accuracy - accuracy) < 1e-6, `got ${epochs[0].accuracy}, expected ${accuracy}`);
    classifier.dispose();
  });

  test(`${backend}: a seed gives the same bytes again, another seed gives others`, async () => {
    await useBackend(backend);
    const bytes = async (/** @type {number} */ seed) => {
      const dir = await saved(await trained({}, seed), `seed-${backend}`);
      return readFileSync(join(dir, 'weights.bin'));
    };
    const first = await bytes(1);
    assert.deepEqual(await bytes(1), first);
    assert.notDeepEqual(await bytes(2), first);
  });

  test(`${backend}: probabilities equal a plain computation from the saved weights`, async () => {
    await useBackend(backend);
    const classifier = await trained();
    const w = weightsIn(await saved(classifier, `plain-${backend}`));
    const layer = (/** @type {ArrayLike<number>} */ x, /** @type {string} */ name) =>
      Array.from(w[`${name}/bias`], (bias, column) => {
        const width = w[`${name}/bias`].length;
        return Array.from(x).reduce((sum, value, row) => sum + value * w[`${name}/kernel`][row * width + column], bias);
      });
    const rows = await classifier.probabilities(FEATURES);
    assert.equal(rows.length, FEATURES.length);
    rows.forEach((row, i) => {
      assert.equal(row.length, 3);
      const exps = layer(layer(FEATURES[i], 'hidden').map(Math.tanh), 'probabilities').map(Math.exp);
      const total = exps.reduce((a, b) => a + b, 0);
      row.forEach((p, index) => assert(Math.abs(p - exps[index] / total) < 1e-6));
    });
  });

  test(`${backend}: the same floats after loading again, and for any batch size`, async () => {
    await useBackend(backend);
    const classifier = await trained();
    const many = Array.from({ length: 300 }, (_, i) => FEATURES[i % 60]);
    const here = (await classifier.probabilities(many)).map((row) => Array.from(row));
    const single = await Promise.all(FEATURES.map(async (x) => Array.from((await classifier.probabilities([x]))[0])));
    assert.deepEqual(single, here.slice(0, 60));

    const dir = await saved(classifier, `process-${backend}`);
    writeFileSync(join(DIR, 'many.json'), JSON.stringify(many.map((row) => Array.from(row))));
    const script = `
      import { readFileSync } from 'node:fs';
      import { useBackend } from './backends/index.js';
      import { Head } from './classifier/head.js';
      await useBackend('${backend}');
      const many = JSON.parse(readFileSync(process.argv[2], 'utf8')).map((row) => Float32Array.from(row));
      const classifier = await Head.load(process.argv[1], JSON.parse(process.argv[3]));
      const rows = await classifier.probabilities(many);
      process.stdout.write('\\n' + JSON.stringify([classifier.labels, rows.map((row) => Array.from(row))]));`;
    const output = execFileSync(
      process.execPath,
      ['--input-type=module', '-e', script, dir, join(DIR, 'many.json'), JSON.stringify(toyBundle('a'.repeat(64), HIDDEN))],
      { cwd: fileURLToPath(new URL('../../node_bridge', import.meta.url)), encoding: 'utf8', maxBuffer: 1e8 },
    );
    const last = /** @type {string} */ (output.split('\n').at(-1));
    assert.deepEqual(JSON.parse(last), [LABELS, here]);
  });
}

test('plain loadLayersModel reads a saved head', async () => {
  await useBackend('wasm');
  const classifier = await trained();
  const dir = await saved(classifier, 'standard');
  const document = JSON.parse(readFileSync(join(dir, 'model.json'), 'utf8'));
  const load = async () => ({
    modelTopology: document.modelTopology,
    weightSpecs: document.weightsManifest[0].weights,
    weightData: new Uint8Array(readFileSync(join(dir, document.weightsManifest[0].paths[0]))).buffer,
  });
  const model = await loadLayersModel({ load });
  const output = /** @type {tf.Tensor} */ (model.predict(tf.tensor2d([Array.from(FEATURES[0])])));
  assert.deepEqual(output.dataSync(), (await classifier.probabilities([FEATURES[0]]))[0]);
});

test('a classifier of another bundle, a damaged one and a missing one are refused', async () => {
  const dir = await saved(await trained(), 'refused');
  const refused = (/** @type {string} */ index, /** @type {RegExp} */ message, hash = 'a'.repeat(64)) =>
    assert.rejects(Head.load(index, toyBundle(hash, HIDDEN)), (error) => {
      assert(error instanceof UserError, String(error));
      assert.match(error.message, message);
      return true;
    });
  await refused(dir, /hash a{64}.* \/toy has b{64}/, 'b'.repeat(64));
  const weights = readFileSync(join(dir, 'weights.bin'));
  weights[5] ^= 1;
  writeFileSync(join(dir, 'weights.bin'), weights);
  await refused(dir, /weights\.bin has sha256 .* damaged/);
  rmSync(join(dir, 'weights.bin'));
  await refused(dir, /weights\.bin is missing/);
  writeFileSync(join(dir, 'classifier.json'), '{');
  await refused(dir, /classifier\.json: broken JSON \(.*; copy or train the classifier again/);
  await refused(join(DIR, 'nowhere'), /nowhere is not a classifier/);
});

/** @param {string} dir @param {RegExp} said @param {any} [bundle] */
async function assertRefused(dir, said, bundle = toyBundle('a'.repeat(64), HIDDEN)) {
  await assert.rejects(Head.load(dir, bundle), (error) => {
    assert(error instanceof UserError, String(error));
    assert.match(error.message, said);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
}

test('a classifier that was edited after training is refused, for any edit', async () => {
  const dir = await saved(await trained(), 'edited');
  const path = join(dir, 'classifier.json');
  const text = readFileSync(path, 'utf8');
  const [best, good, bad] = ['"好"', '"中"', '"差"'];
  const edits = [
    text.replace(best, '"@"').replace(bad, best).replace('"@"', bad),
    text.replace(good, '"還好"'),
    text.replace('"max_length"', '"max_length" '),
    `${text}\n`,
    text.replace('"task": "single"', '"task": "pair"'),
    text.replace(/"sha256": "[0-9a-f]{64}"/, `"sha256": "${'1'.repeat(64)}"`),
  ];
  for (const edited of edits) {
    assert.notEqual(edited, text);
    writeFileSync(path, edited);
    await assertRefused(dir, /classifier\.json is not what its sha256 says: it was edited or damaged/);
  }
  writeFileSync(path, text);
  (await Head.load(dir, toyBundle('a'.repeat(64), HIDDEN))).dispose();
});

test('a description of another model is refused, with or without a right seal', async () => {
  const dir = await saved(await trained(), 'another');
  const description = readFileSync(join(dir, 'classifier.json'));
  const model = readFileSync(join(dir, 'model.json'));
  const change = async (/** @type {(description: any) => void} */ edit, /** @type {RegExp} */ said) => {
    resealClassifier(dir, edit);
    await assertRefused(dir, said);
    writeFileSync(join(dir, 'classifier.json'), description);
  };
  await change((one) => {
    one.labels.push('more');
    one.class_weights.push(1);
  }, /got gives \[\?,3\], expected \[\?,4\] for its 4 labels/);
  await change((one) => {
    one.labels.pop();
    one.class_weights.pop();
  }, /got gives \[\?,3\], expected \[\?,2\] for its 2 labels/);
  await change((one) => {
    one.pooling = 'sequence_output';
  }, /got pooling sequence_output, expected position 0 of sequence_output for head dense/);
  await change(
    (one) => (one.head = 'bilstm'),
    /got pooling position 0 of sequence_output, expected sequence_output for head bilstm/,
  );
  await change(
    (one) => Object.assign(one, { head: 'bilstm', pooling: 'sequence_output' }),
    /got takes \[\?,6\], expected \[\?,\?,6\]/,
  );
  await change((one) => (one.max_length = 17), /got max_length 17, expected at most 16/);
  await change((one) => (one.class_weights = [1, 1]), /got 2 class_weights for 3 labels/);
  resealClassifier(dir, () => {});
  await assertRefused(dir, /got takes \[\?,6\], expected \[\?,7\] for its pooling and \/toy/, toyBundle('a'.repeat(64), 7));
  for (const text of [
    '{',
    '[]',
    'null',
    '{}',
    '{"weightsManifest": [{"weights": []}], "modelTopology": {"class_name": "Model"}}',
    String(model).replace('"units":3', '"units":4'),
    String(model).replaceAll('Dense', '__proto__'),
    String(model).replace('"shape":[6,', '"shape":[-6,'),
  ]) {
    writeFileSync(join(dir, 'model.json'), text);
    resealClassifier(dir, () => {});
    await assertRefused(
      dir,
      /another\/model\.json: (TF\.js cannot run it: |broken JSON |expected |the weight "hidden\/kernel" has a shape that is no list)/,
    );
  }
});

test('a weight that changed before a classifier was sealed again is found by its checksum', async () => {
  const dir = await saved(await trained(), 'changed');
  const labels = readDescription(dir).labels;
  const probabilities = labels.map((_, i) => (i === 0 ? 0.5 : 0.5 / (labels.length - 1)));
  resealClassifier(dir, (description) => {
    description.golden = [{ text: '好', label: labels[0], probabilities }];
  });
  const answer = { label: labels[0], probabilities: Object.fromEntries(labels.map((label, i) => [label, probabilities[i]])) };
  const classifier = /** @type {any} */ ({ predict: async () => [answer] });
  const failing = async () => (await verifyClassifier(dir, readClassifier(dir), classifier)).filter((check) => !check.passed);
  assert.deepEqual(await failing(), []);
  const weights = readFileSync(join(dir, 'weights.bin'));
  weights[weights.length - 4] ^= 1; // the last bit of the last float: no probability moves by as much as a budget
  writeFileSync(join(dir, 'weights.bin'), weights);
  resealClassifier(dir, () => {});
  const [check, ...more] = await failing();
  assert.deepEqual(more, []);
  assert.equal(check.name, 'checksums');
  assert.match(check.said, /^not what was trained: weight probabilities\/bias$/);
});

test('a classifier of the first version, which has no seal, is read and replaced', async () => {
  const classifier = await trained();
  const dir = await saved(classifier, 'first');
  resealClassifier(dir, (description) => {
    description.version = 1;
    for (const later of ['best_by', 'trained_with', 'golden', 'checksums']) delete description[later];
  });
  for (const beside of ['training.html', 'log.jsonl']) writeFileSync(join(dir, beside), '');
  (await Head.load(dir, toyBundle('a'.repeat(64), HIDDEN))).dispose();
  await saved(classifier, 'first');
  assert.deepEqual(readdirSync(dir).sort(), ['classifier.json', 'model.json', 'weights.bin']);
});

test('saving replaces a classifier and leaves everything else alone', async () => {
  const classifier = await trained();
  const dir = await saved(classifier, 'twice');
  // A signature is its publisher's, and goes with what it signed.
  writeFileSync(join(dir, 'signature.json'), '{}');
  await saved(classifier, 'twice');
  assert.deepEqual(readdirSync(dir).sort(), ['classifier.json', 'model.json', 'weights.bin']);
  const other = join(DIR, 'other');
  mkdirSync(other);
  writeFileSync(join(other, 'diary.txt'), 'dear diary');
  await assert.rejects(saved(classifier, 'other'), /holds other things \(diary\.txt\)/);
  assert.deepEqual(readdirSync(other), ['diary.txt']);
  writeFileSync(join(dir, 'diary.txt'), 'dear diary');
  await assert.rejects(saved(classifier, 'twice'), /holds diary\.txt, which its classifier\.json does not list/);
  assert.equal(readFileSync(join(dir, 'diary.txt'), 'utf8'), 'dear diary');
  assert.deepEqual(
    readdirSync(DIR).filter((name) => name.startsWith('.')),
    [],
  );
});

for (const backend of ['wasm', 'cpu']) {
  test(`${backend}: training that runs away is stopped, though wasm's loss stays finite`, async () => {
    await useBackend(backend);
    await assert.rejects(trained({ learningRate: 1e38 }), CheckFailed);
  });
}
