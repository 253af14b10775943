import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { computeTextKey } from '../../node_bridge/data/text_keys.js';
import { openStore } from '../../node_bridge/encoder/feature_cache.js';

const CACHE = mkdtempSync(join(tmpdir(), 'cache-'));
after(() => rmSync(CACHE, { recursive: true }));

const WHAT = /** @type {any} */ ({
  bundle: { hash: 'a'.repeat(64) },
  backend: { name: 'native', version: 'TF.js 4.22.0, TensorFlow 2.21.0' },
  maxLength: 128,
  pooling: 'position 0 of sequence_output',
});

/** How many vectors the cache has of a kind. @param {object} other than WHAT */
function size(other) {
  const store = openStore(CACHE, { ...WHAT, ...other }, 1, assert.fail);
  store.close();
  return store.size;
}

test('vectors are found by all that decides their values, and by nothing else', () => {
  const store = openStore(CACHE, WHAT, 1, assert.fail);
  store.add([computeTextKey({ text: '好' })], [Float32Array.of(1)]);
  store.close();

  assert.equal(size({}), 1);
  assert.equal(size({ bundle: { hash: 'b'.repeat(64) } }), 0);
  assert.equal(size({ backend: { ...WHAT.backend, name: 'wasm' } }), 0);
  assert.equal(size({ backend: { ...WHAT.backend, version: 'TF.js 4.22.0, TensorFlow 2.22.0' } }), 0);
  assert.equal(size({ maxLength: 64 }), 0);
  assert.equal(size({ pooling: 'sequence_output' }), 0);
  assert.equal(size({ long: undefined }), 1);
  assert.equal(size({ long: { choice: 'head-tail' } }), 0);
  const windows = { choice: 'windows', stride: 63, pooling: 'mean' };
  openStore(CACHE, { ...WHAT, long: windows }, 1, assert.fail).add([computeTextKey({ text: '好' })], [Float32Array.of(1)]);
  assert.equal(size({ long: windows }), 1);
  assert.equal(size({ long: { ...windows, stride: 62 } }), 0);
  assert.equal(size({ long: { ...windows, pooling: 'max' } }), 0);
});
