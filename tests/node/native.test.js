/** The native backend on the embedded bundle, whose golden cases are Python's TensorFlow. */
import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { useBackend } from '../../node_bridge/backends/index.js';
import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { digestOf } from '../../node_bridge/bundle/saved_model/vetting.js';
import { featuresInMemory } from '../../node_bridge/classifier/training/feature_sets.js';
import { fitHead } from '../../node_bridge/classifier/training/fitting.js';
import { Head } from '../../node_bridge/classifier/head.js';
import { Encoder } from '../../node_bridge/encoder/encoder.js';
import { UserError } from '../../node_bridge/support/errors.js';
import { readSafetensors } from '../../node_bridge/support/safetensors.js';
import { Tokenizer } from '../../node_bridge/tokenizer/index.js';
import { native, root } from './native_here.js';

const embedded = join(root, 'artifacts', 'bundle', 'albert_tiny');
const bundle = Bundle.open(embedded);
const golden = readSafetensors(bundle.read('golden.safetensors'));
/** @type {string[]} */
const texts = JSON.parse(golden.metadata.texts);
const encodings = texts.map((text) => Tokenizer.fromBundle(bundle).encode(text));
const GRAPH = 'saved_model/saved_model.pb';
const scratch = mkdtempSync(join(tmpdir(), 'native-'));
after(() => rmSync(scratch, { recursive: true }));

/**
 * A copy of the embedded bundle, changed and sealed anew.
 *
 * @param {string} name
 * @param {(dir: string, contract: any) => void} change
 */
function changed(name, change) {
  const dir = join(scratch, name);
  cpSync(embedded, dir, { recursive: true });
  const path = join(dir, 'bundle.json');
  const contract = JSON.parse(readFileSync(path, 'utf8'));
  change(dir, contract);
  for (const file of Object.keys(contract.files)) {
    const bytes = readFileSync(join(dir, file));
    contract.files[file] = { sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length };
  }
  const parts = Object.entries(contract.files).filter(([file]) => file.startsWith('saved_model/'));
  const sums = Object.fromEntries(parts.map(([file, sum]) => [file.slice('saved_model/'.length), sum]));
  contract.saved_model = parts.length === 0 ? null : { ...contract.saved_model, sha256: digestOf(sums) };
  writeFileSync(path, JSON.stringify(contract));
  return Bundle.open(dir);
}

/** @param {string} dir @param {any} contract */
function withoutSavedModel(dir, contract) {
  rmSync(join(dir, 'saved_model'), { recursive: true });
  for (const name of Object.keys(contract.files)) if (name.startsWith('saved_model/')) delete contract.files[name];
}

/** @param {Encoder} encoder @param {number} budget */
async function assertGolden(encoder, budget) {
  const outputs = await encoder.run(encodings);
  assert.deepEqual(Object.keys(outputs).sort(), ['pooled_output', 'sequence_output']);
  for (const [name, { shape, data }] of Object.entries(outputs)) {
    assert.deepEqual(shape, golden.tensors[name].shape);
    const worst = data.reduce((max, value, i) => Math.max(max, Math.abs(value - golden.tensors[name].data[i])), 0);
    assert.ok(worst <= budget, `${name}: got max |Δ| ${worst}, expected at most ${budget}`);
  }
}

test('the SavedModel gives Python’s outputs to the bit', native, async () => {
  const encoder = await Encoder.load(bundle, { backend: 'native' });
  assert.deepEqual([encoder.backend, encoder.notice], ['native', '']);
  await assertGolden(encoder, 0);
  const rows = await encoder.firstPosition(encodings);
  const { sequence_output: whole } = await encoder.run(encodings);
  const [, sequence, hidden] = whole.shape;
  assert.equal(rows.length, encodings.length);
  rows.forEach((row, i) => assert.deepEqual(row, whole.data.slice(i * sequence * hidden, i * sequence * hidden + hidden)));
  encoder.dispose();
});

test('a bundle without a SavedModel runs its GraphModel, and says what would be faster', native, async () => {
  const encoder = await Encoder.load(changed('graph', withoutSavedModel), { backend: 'native' });
  assert.match(encoder.notice, /not exported --with-saved-model/);
  await assertGolden(encoder, 1e-5);
  encoder.dispose();
});

test('no tensors are left behind, TensorFlow’s own included', native, async () => {
  const encoder = await Encoder.load(bundle, { backend: 'native' });
  const count = () => [tf.memory().numTensors, /** @type {any} */ (tf.backend()).getNumOfTFTensors()];
  await encoder.run(encodings);
  const before = count();
  for (let i = 0; i < 3; i += 1) await encoder.run(encodings);
  await encoder.firstPosition(encodings);
  assert.deepEqual(count(), before);
  encoder.dispose();
});

test('auto takes native where it works', native, async () => {
  const encoder = await Encoder.load(bundle);
  assert.deepEqual([encoder.backend, encoder.notice], ['native', 'backend native']);
  encoder.dispose();
  const { name, version } = await useBackend('auto');
  assert.equal(name, 'native');
  assert.match(version, /^TF\.js 4\.\d+\.\d+, TensorFlow \d+\.\d+\.\d+$/);
});

test('where TensorFlow does not load the SavedModel, there is a warning and the GraphModel runs', native, async () => {
  // Another op that computes, with the attributes of the first.
  const odd = changed('odd', (dir) => {
    const path = join(dir, GRAPH);
    writeFileSync(
      path,
      Buffer.from(readFileSync(path).toString('latin1').replaceAll('BatchMatMulV2', 'BroadcastArgs'), 'latin1'),
    );
  });
  const encoder = await Encoder.load(odd, { backend: 'native' });
  assert.match(
    encoder.notice,
    /^warning: the SavedModel of .*odd does not run here: Failed to load SavedModel: .*; its GraphModel is run instead/,
  );
  assert.doesNotMatch(encoder.notice, /\n/);
  await assertGolden(encoder, 1e-5);
  encoder.dispose();
});

test('a SavedModel with an op outside the list is refused, though it was sealed again', native, async () => {
  const odd = changed('evil', (dir) => {
    const path = join(dir, GRAPH);
    writeFileSync(
      path,
      Buffer.from(readFileSync(path).toString('latin1').replaceAll('BatchMatMulV2', 'BatchMatMulV9'), 'latin1'),
    );
  });
  for (const backend of ['native', 'auto']) {
    await assert.rejects(Encoder.load(odd, { backend }), (error) => {
      assert.ok(error instanceof UserError);
      assert.match(
        error.message,
        /evil\/saved_model: got op BatchMatMulV9 in .*, expected only ops that compute \(export\/source\/allowed_ops\.txt\); nothing was loaded/,
      );
      return true;
    });
  }
  const encoder = await Encoder.load(odd, { backend: 'wasm' });
  await assertGolden(encoder, 1e-5);
  encoder.dispose();
});

test('where the SavedModel has another contract, there is a warning and the GraphModel runs', native, async () => {
  const other = changed('other', (dir) => {
    const path = join(dir, GRAPH);
    writeFileSync(
      path,
      Buffer.from(readFileSync(path).toString('latin1').replaceAll('pooled_output', 'poured_output'), 'latin1'),
    );
  });
  const encoder = await Encoder.load(other, { backend: 'native' });
  assert.match(encoder.notice, /got outputs poured_output DT_FLOAT, sequence_output DT_FLOAT, expected pooled_output DT_FLOAT/);
  await assertGolden(encoder, 1e-5);
  encoder.dispose();
});

test('a SavedModel that was altered or added to is refused by the name of its file', native, async () => {
  const added = changed('added', () => {});
  writeFileSync(join(added.dir, 'saved_model', 'saved_model.cpb'), 'x');
  const refused = (/** @type {RegExp} */ said) => (/** @type {unknown} */ error) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, said);
    return true;
  };
  await assert.rejects(
    Encoder.load(added, { backend: 'native' }),
    refused(/holds saved_model\/saved_model\.cpb, which its contract does not list/),
  );
  const altered = changed('altered', () => {});
  const path = join(altered.dir, GRAPH);
  const bytes = readFileSync(path);
  bytes[100] ^= 1;
  writeFileSync(path, bytes);
  await assert.rejects(
    Encoder.load(altered, { backend: 'native' }),
    refused(/saved_model\.pb has sha256 .*the bundle is damaged/),
  );
});

test('training gives the same weights twice, and what wasm gives within 1e-4', native, async () => {
  const features = Array.from({ length: 96 }, (_, i) => Float32Array.of(Math.sin(i), i % 3, Math.cos(2 * i), 1));
  const targets = Int32Array.from(features, (_, i) => i % 3);
  const trained = async (/** @type {string} */ backend) => {
    await useBackend(backend);
    const classifier = Head.create({ hidden: 4, labels: ['a', 'b', 'c'], seed: 3 });
    await fitHead(classifier, featuresInMemory(features, 4), targets, { epochs: 4, batchSize: 16, learningRate: 0.01 });
    const rows = await classifier.probabilities(features);
    classifier.dispose();
    return rows;
  };
  const [first, second, wasm] = [await trained('native'), await trained('native'), await trained('wasm')];
  assert.deepEqual(first, second);
  assert.deepEqual([first.length, first[0].length], [96, 3]);
  first.forEach((row, i) => row.forEach((value, j) => assert.ok(Math.abs(value - wasm[i][j]) < 1e-4)));
});
