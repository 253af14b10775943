import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { EncodingSpool } from '../../node_bridge/encoder/id_spool.js';

const dir = mkdtempSync(join(tmpdir(), 'spool-'));
after(() => rmSync(dir, { recursive: true }));

/** @param {number} length */
const encoding = (length) => ({
  ids: Int32Array.from({ length }, (_, i) => 7 * i + length),
  typeIds: Int32Array.from({ length }, (_, i) => i % 2),
});

test('encodings come back in order, in batches of limited size; no file is visible', () => {
  const spool = new EncodingSpool(join(dir, 'x.partial'));
  assert.deepEqual(readdirSync(dir), []);
  // Empty, short, and longer than what is written at a time.
  const lengths = [3, 0, 100_000, 1, ...Array.from({ length: 5000 }, (_, i) => i % 40)];
  for (const length of lengths) spool.add(encoding(length));
  assert.deepEqual([spool.count, spool.longest], [5004, 100_000]);
  assert.equal(
    spool.positions,
    lengths.reduce((sum, length) => sum + length, 0),
  );
  for (let pass = 0; pass < 2; pass += 1) {
    let next = 0;
    for (const { first, encodings } of spool.batches({ texts: 700, positions: 9000 })) {
      assert.equal(first, next);
      const size = encodings.reduce((sum, { ids }) => sum + ids.length, 0);
      assert.ok(encodings.length <= 700 && (size <= 9000 || encodings.length === 1));
      for (const got of encodings) {
        assert.deepEqual(got, encoding(lengths[next]));
        next += 1;
      }
    }
    assert.equal(next, lengths.length);
  }
  spool.close();
});
