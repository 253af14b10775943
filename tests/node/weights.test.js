/** Weights from files to tensors: the values that TF.js itself reads, or none at all. */
import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { useBackend } from '../../node_bridge/backends/index.js';
import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { Encoder } from '../../node_bridge/encoder/encoder.js';
import { readWeights } from '../../node_bridge/encoder/model.js';
import { UserError } from '../../node_bridge/support/errors.js';
import { native, root } from './native_here.js';
import { leastContract } from './toy_bundle.js';

const scratch = mkdtempSync(join(tmpdir(), 'weights-'));
after(() => rmSync(scratch, { recursive: true }));

/** Every way to store a weight; every float16; sizes after which the next weight has an odd offset. */
const SPECS = /** @type {any[]} */ ([
  { name: 'bools', shape: [3], dtype: 'bool' },
  { name: 'scalar', shape: [], dtype: 'int32' },
  { name: 'nothing', shape: [0, 4], dtype: 'float32' },
  { name: 'single', shape: [33, 5], dtype: 'float32' },
  { name: 'half', shape: [256, 256], dtype: 'float32', quantization: { dtype: 'float16', original_dtype: 'float32' } },
  {
    name: 'bytes',
    shape: [70001],
    dtype: 'float32',
    quantization: { dtype: 'uint8', scale: 0.1, min: -3.7, original_dtype: 'float32' },
  },
  {
    name: 'shorts',
    shape: [70001],
    dtype: 'float32',
    quantization: { dtype: 'uint16', scale: 1 / 3, min: 0.01, original_dtype: 'float32' },
  },
  { name: 'last', shape: [2], dtype: 'int32' },
]);

/** What the specs take, in order. */
const PARTS = [
  Uint8Array.of(1, 0, 1),
  Int32Array.of(-7),
  new Float32Array(0),
  Float32Array.from({ length: 33 * 5 }, (_, i) => Math.sin(i) * 10 ** ((i % 60) - 30)),
  Uint16Array.from({ length: 65536 }, (_, i) => i),
  Uint8Array.from({ length: 70001 }, (_, i) => (i * 31) % 256),
  Uint16Array.from({ length: 70001 }, (_, i) => (i * 257) % 65536),
  Int32Array.of(2 ** 31 - 1, -(2 ** 31)),
];
const BYTES = Buffer.concat(PARTS.map((part) => new Uint8Array(part.buffer)));

/** Cuts that fall into a float32, into a float16 and into a uint16. */
const CUTS = [0, 9, 5001, 300_000, BYTES.length];
const NAMES = CUTS.slice(1).map((_, i) => `group1-shard${i + 1}of4.bin`);

/** @param {string} name */
function bundleOf(name) {
  const dir = mkdtempSync(join(scratch, `${name}-`));
  const files = NAMES.map((file, i) => {
    const bytes = BYTES.subarray(CUTS[i], CUTS[i + 1]);
    writeFileSync(join(dir, file), bytes);
    return [file, { sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length }];
  });
  writeFileSync(join(dir, 'bundle.json'), JSON.stringify(leastContract(Object.fromEntries(files))));
  return Bundle.open(dir);
}

/** @param {RegExp} message */
function mistake(message) {
  return (/** @type {unknown} */ error) => {
    assert.ok(error instanceof UserError, String(error));
    assert.match(error.message, message);
    return true;
  };
}

/** @param {Bundle} bundle @param {RegExp} message @param {any[]} [specs] */
async function assertRefused(bundle, message, specs = SPECS) {
  const { makeTensor } = await useBackend('wasm');
  const { numTensors, numDataBuffers } = tf.memory();
  assert.throws(() => readWeights(bundle, [{ paths: NAMES, weights: specs }], makeTensor), mistake(message));
  assert.deepEqual([tf.memory().numTensors, tf.memory().numDataBuffers], [numTensors, numDataBuffers]);
}

for (const [backend, options] of /** @type {const} */ ([
  ['cpu', {}],
  ['wasm', {}],
  ['native', native],
])) {
  test(`the values equal those that TF.js reads, on ${backend}`, options, async () => {
    const { makeTensor } = await useBackend(backend);
    const whole = new Uint8Array(BYTES).buffer;
    const expected = tf.io.decodeWeights(whole, SPECS);
    const got = readWeights(bundleOf('good'), [{ paths: NAMES, weights: SPECS }], makeTensor);
    assert.deepEqual(
      Object.keys(got),
      SPECS.map(({ name }) => name),
    );
    for (const [name, { shape, dtype }] of Object.entries(got)) {
      assert.deepEqual({ shape, dtype }, { shape: expected[name].shape, dtype: expected[name].dtype });
      const [ours, theirs] = [got[name].dataSync(), expected[name].dataSync()];
      assert.equal(ours.length, theirs.length, name);
      const differs = ours.findIndex((value, i) => !Object.is(value, theirs[i]));
      assert.equal(differs, -1, `${name}[${differs}]: got ${ours[differs]}, expected ${theirs[differs]}`);
    }
    tf.dispose([got, expected]);
  });
}

test('an altered bit in any file is detected, and no tensor stays', async () => {
  for (const [i, name] of NAMES.entries()) {
    const bundle = bundleOf('altered');
    const altered = readFileSync(join(bundle.dir, name));
    altered[altered.length >> 1] ^= 16;
    writeFileSync(join(bundle.dir, name), altered);
    await assertRefused(
      bundle,
      new RegExp(`shard${i + 1}of4\\.bin has sha256 [0-9a-f]{64}, expected [0-9a-f]{64}; the bundle is damaged`),
    );
  }
});

test('a truncated or missing file is named, and no tensor stays', async () => {
  const cut = bundleOf('cut');
  truncateSync(join(cut.dir, NAMES[2]), 1000);
  await assertRefused(cut, /shard3of4\.bin has 1000 bytes, expected 294999; the bundle is damaged/);
  const gone = bundleOf('gone');
  rmSync(join(gone.dir, NAMES[3]));
  await assertRefused(gone, /shard4of4\.bin is missing from bundle gone-/);
});

test('files that do not fit the manifest are refused, and no tensor stays', async () => {
  const bundle = bundleOf('other');
  await assertRefused(bundle, /the files of the weights hold more than model\.json says/, SPECS.slice(0, -1));
  await assertRefused(bundle, /the files of the weights hold less than model\.json says/, [...SPECS, SPECS[1]]);
  const text = { name: 'text', shape: [], dtype: 'string' };
  await assertRefused(bundle, /got text in string, expected float32, int32, bool, or float32 stored as/, [
    ...SPECS.slice(0, -1),
    text,
  ]);
  const odd = { ...SPECS[4], quantization: { dtype: 'bfloat16' } };
  await assertRefused(bundle, /got half in float32 stored as bfloat16, expected/, [...SPECS.slice(0, 4), odd]);
});

test('a model whose last weights are damaged is not opened, and no tensor stays; nor of one that is closed', async () => {
  const embedded = join(root, 'artifacts', 'bundle', 'albert_tiny');
  const dir = join(scratch, 'albert_tiny');
  cpSync(embedded, dir, { recursive: true });
  const shard = join(dir, 'group1-shard2of2.bin');
  const altered = readFileSync(shard);
  altered[altered.length - 1] ^= 1;
  writeFileSync(shard, altered);
  await useBackend('wasm');
  const before = tf.memory().numTensors;
  await assert.rejects(Encoder.load(Bundle.open(dir), { backend: 'wasm' }), mistake(/shard2of2\.bin has sha256 /));
  assert.equal(tf.memory().numTensors, before);
  const encoder = await Encoder.load(Bundle.open(embedded), { backend: 'wasm' });
  assert.ok(tf.memory().numTensors > before);
  encoder.dispose();
  assert.equal(tf.memory().numTensors, before);
});

test('reading needs hardly more memory than the weights', () => {
  const size = 4 * 2 ** 20;
  const count = 32;
  const dir = mkdtempSync(join(scratch, 'large-'));
  const bytes = Buffer.alloc(size, 'weights');
  writeFileSync(join(dir, 'one.bin'), bytes);
  const sum = { sha256: createHash('sha256').update(bytes).digest('hex'), size };
  const names = Array.from({ length: count }, (_, i) => `shard${i}.bin`);
  for (const name of names) symlinkSync('one.bin', join(dir, name));
  const files = Object.fromEntries(names.map((name) => [name, sum]));
  writeFileSync(join(dir, 'bundle.json'), JSON.stringify(leastContract(files)));
  const program = `
    const { useBackend } = await import('./node_bridge/backends/index.js');
    const { Bundle } = await import('./node_bridge/bundle/bundle.js');
    const { readWeights } = await import('./node_bridge/encoder/model.js');
    const { makeTensor } = await useBackend('wasm');
    const weights = [0, 1].map((name) => ({ name: String(name), shape: [${(size * count) / 8}], dtype: 'float32' }));
    const before = process.memoryUsage().rss;
    readWeights(Bundle.open(${JSON.stringify(dir)}), [{ paths: ${JSON.stringify(names)}, weights }], makeTensor);
    console.log(process.resourceUsage().maxRSS * 1024 - before);
  `;
  const args = ['--input-type=module', '--eval', program];
  const grown = Number(execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8' }));
  const ratio = grown / (size * count);
  assert.ok(ratio > 0.9 && ratio < 1.5, `128 MiB of weights took ${ratio} times their size`);
});
