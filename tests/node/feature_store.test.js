import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { KeyTable, computeTextKey } from '../../node_bridge/data/text_keys.js';
import { FeatureStore } from '../../node_bridge/encoder/feature_cache.js';
import { EnvironmentProblem } from '../../node_bridge/support/errors.js';
import { encodeSafetensors, readSafetensors } from '../../node_bridge/support/safetensors.js';

const DIR = mkdtempSync(join(tmpdir(), 'store-'));
after(() => rmSync(DIR, { recursive: true }));
const HIDDEN = 3;

/** @param {number} i a text of 1 to 4 vectors */
function vector(i) {
  return Float32Array.from({ length: HIDDEN * (1 + (i % 4)) }, (_, at) => 100 * i + at);
}

/** @param {FeatureStore} store @param {number} from @param {number} to */
function add(store, from, to) {
  const numbers = Array.from({ length: to - from }, (_, i) => from + i);
  store.add(
    numbers.map((i) => computeTextKey({ text: String(i) })),
    numbers.map(vector),
  );
}

/** @param {FeatureStore} store @param {number} i */
function read(store, i) {
  const index = store.find(computeTextKey({ text: String(i) }));
  if (index === undefined) return undefined;
  const data = new Float32Array(2 + HIDDEN * store.positions(index));
  store.copy(index, data, 1);
  return data.slice(1, -1);
}

test('vectors come back unchanged, at once and after reopening, from any shard', () => {
  const dir = join(DIR, 'in', 'depth');
  const store = FeatureStore.open(dir, HIDDEN, assert.fail);
  // More shards than files that are open at a time.
  for (let shard = 0; shard < 80; shard += 1) add(store, 5 * shard, 5 * (shard + 1));
  const again = FeatureStore.open(dir, HIDDEN, assert.fail);
  for (const each of [store, again]) {
    assert.equal(each.size, 400);
    for (let i = 0; i < 800; i += 1) {
      const text = (i * 7919) % 400;
      assert.deepEqual(read(each, text), vector(text));
    }
    assert.equal(each.find(computeTextKey({ text: '400' })), undefined);
    assert.equal(each.find(computeTextKey({ text: '1', pair: '' })), undefined);
    each.close();
  }
  const [name] = readdirSync(dir);
  assert.deepEqual(Object.keys(readSafetensors(readFileSync(join(dir, name))).tensors), ['keys', 'positions', 'vectors']);
});

test('a damaged shard is reported and removed, and its texts are missing; the others stay', () => {
  const dir = join(DIR, 'damaged');
  const store = FeatureStore.open(dir, HIDDEN, assert.fail);
  add(store, 0, 10);
  const [first] = readdirSync(dir);
  add(store, 10, 20);
  const path = join(dir, first);
  for (const damage of [
    (/** @type {Buffer} */ bytes) => bytes.subarray(0, -4),
    (/** @type {Buffer} */ bytes) => {
      bytes[bytes.length - 2] ^= 8;
      return bytes;
    },
  ]) {
    const bytes = readFileSync(path);
    writeFileSync(path, damage(Buffer.from(bytes)));
    /** @type {string[]} */
    const damagedPaths = [];
    const again = FeatureStore.open(dir, HIDDEN, (damaged) => damagedPaths.push(damaged));
    assert.deepEqual(damagedPaths, [path]);
    assert.equal(again.size, 10);
    assert.equal(read(again, 3), undefined);
    assert.deepEqual(read(again, 13), vector(13));
    add(again, 0, 10); // which makes the same file again
    assert.deepEqual(readFileSync(path), bytes);
  }
});

test('a partial file of a dead process is removed; one of a running process stays', () => {
  const dir = join(DIR, 'partial');
  FeatureStore.open(dir, HIDDEN, assert.fail);
  const names = [`a.safetensors.${2 ** 22 + 1}.partial`, `b.safetensors.${process.pid}.partial`];
  names.forEach((name) => writeFileSync(join(dir, name), 'half'));
  FeatureStore.open(dir, HIDDEN, assert.fail);
  assert.deepEqual(readdirSync(dir), [names[1]]);
});

test('a KeyTable has the same entries as a Map', () => {
  const table = new KeyTable();
  /** @type {Map<string, number>} */
  const map = new Map();
  for (let i = 0; i < 6000; i += 1) {
    // First words that collide, and keys that differ in their last word alone.
    const key = Int32Array.of(i % 7, 0, -1, (i * 31) % 4000);
    assert.equal(table.add(key, i), !map.has(key.join()));
    if (!map.has(key.join())) map.set(key.join(), i);
  }
  assert.equal(table.size, map.size);
  for (const [name, value] of map) assert.equal(table.get(Int32Array.from(name.split(','), Number)), value);
  assert.equal(table.get(Int32Array.of(0, 0, 0, 0)), undefined);
});

test('vectors that change while they are in use are detected, not used', () => {
  const dir = join(DIR, 'changed');
  const store = FeatureStore.open(dir, HIDDEN, assert.fail);
  add(store, 0, 10);
  const [name] = readdirSync(dir);
  const path = join(dir, name);
  const sound = readFileSync(path);
  const noticed = (/** @type {unknown} */ error) => {
    assert(error instanceof EnvironmentProblem, String(error));
    assert.match(error.message, /safetensors was changed or taken away while it was in use; run the same command again/);
    return true;
  };
  assert.deepEqual(read(store, 9), vector(9));
  // In place, so that what is open is changed too: the last float of text 9.
  sound.writeFloatLE(7, sound.length - 4);
  writeFileSync(path, sound);
  assert.throws(() => read(store, 9), noticed);
  assert.deepEqual(read(store, 3), vector(3));
  writeFileSync(path, sound.subarray(0, -8));
  assert.throws(() => read(store, 9), noticed);
  store.close();
  rmSync(path);
  assert.throws(() => read(store, 3), noticed);
  // Another file under its name, as long.
  writeFileSync(path, Buffer.alloc(sound.length));
  assert.throws(() => read(store, 3), noticed);
  store.close();
  /** @type {string[]} */
  const damagedPaths = [];
  assert.equal(FeatureStore.open(dir, HIDDEN, (damaged) => damagedPaths.push(damaged)).size, 0);
  assert.deepEqual(damagedPaths, [path]);
});

test('a file with the right sha256 that is no shard of this store is removed', () => {
  const dir = join(DIR, 'no-shard');
  FeatureStore.open(dir, HIDDEN, assert.fail);
  const keys = { dtype: /** @type {const} */ ('I32'), shape: [1, 4], data: new Int32Array(4) };
  const positions = { dtype: /** @type {const} */ ('I32'), shape: [1], data: Int32Array.of(1) };
  const vectors = { dtype: /** @type {const} */ ('F32'), shape: [1, HIDDEN], data: new Float32Array(HIDDEN) };
  const shards = [
    {},
    { keys },
    { keys, positions },
    { keys, positions, vectors: positions },
    { keys, positions: { ...positions, data: Int32Array.of(2) }, vectors },
    { keys, positions: { ...positions, data: Int32Array.of(-1) }, vectors },
    { keys: { ...keys, shape: [2, 2] }, positions, vectors },
    { keys, positions, vectors: { ...vectors, shape: [HIDDEN, 1] } },
  ].map((tensors) => Buffer.concat(encodeSafetensors(/** @type {any} */ (tensors))));
  const headers = [
    '',
    '{',
    '[]',
    '{"keys": 1}',
    '{"keys": {"dtype": "I32", "shape": 1, "data_offsets": [0, 4]}}',
    '{"__metadata__": 1}',
  ].map((text) => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    return Buffer.concat([length, Buffer.from(text)]);
  });
  for (const bytes of [...shards, ...headers, Buffer.of(1)]) {
    const name = `${createHash('sha256').update(bytes).digest('hex').slice(0, 32)}.safetensors`;
    writeFileSync(join(dir, name), bytes);
    /** @type {string[]} */
    const damagedPaths = [];
    assert.equal(FeatureStore.open(dir, HIDDEN, (damaged) => damagedPaths.push(damaged)).size, 0);
    assert.deepEqual(damagedPaths, [join(dir, name)]);
    assert.deepEqual(readdirSync(dir), []);
  }
});
