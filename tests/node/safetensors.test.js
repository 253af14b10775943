import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { UserError } from '../../node_bridge/support/errors.js';
import { readSafetensors, writeSafetensors } from '../../node_bridge/support/safetensors.js';

const dir = mkdtempSync(join(tmpdir(), 'safetensors-'));

// Made by hand from the format's description: a header of 56 bytes, then 1.0 and NaN.
const HEADER = '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  ';
const FILE = Buffer.concat([
  Buffer.from([HEADER.length, 0, 0, 0, 0, 0, 0, 0]),
  Buffer.from(HEADER),
  Buffer.from([0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f]),
]);

test('reads a file made by hand', () => {
  const { tensors, metadata } = readSafetensors(FILE);
  assert.deepEqual(tensors.x, { dtype: 'F32', shape: [2], data: new Float32Array([1, NaN]) });
  assert.deepEqual(metadata, {});
});

test('a written file reads back the same, and nothing else is left in the folder', () => {
  const path = join(dir, 'a.safetensors');
  /** @type {Record<string, import('../../node_bridge/support/safetensors.js').Tensor>} */
  const tensors = {
    ids: { dtype: 'I32', shape: [2, 1], data: new Int32Array([-1, 2 ** 31 - 1]) },
    empty: { dtype: 'F32', shape: [0, 3], data: new Float32Array(0) },
  };
  writeSafetensors(path, tensors, { texts: '["你好"]' });
  const read = readSafetensors(readFileSync(path));
  assert.deepEqual(read.tensors, tensors);
  assert.deepEqual(read.metadata, { texts: '["你好"]' });
  assert.deepEqual(readdirSync(dir), ['a.safetensors']);
});

test('a file truncated anywhere is refused', () => {
  for (let length = 0; length < FILE.length; length += 1) {
    assert.throws(() => readSafetensors(FILE.subarray(0, length), 'x'), UserError, `${length} bytes`);
  }
});
