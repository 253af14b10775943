/** One encoder or several, on the embedded bundle. */
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { openEncoders } from '../../node_bridge/encoder/encoder_pool.js';
import { UserError } from '../../node_bridge/support/errors.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const bundle = Bundle.open(join(root, 'artifacts', 'bundle', 'albert_tiny'));
const text = { ids: Int32Array.of(101, 2, 3, 102), typeIds: new Int32Array(4) };

test('one encoder in this thread and several workers have as many lanes and give the same bits', async () => {
  const rows = [];
  for (const workers of [1, 2]) {
    const encoders = await openEncoders(bundle, { backend: 'wasm', workers });
    assert.deepEqual([encoders.lanes, encoders.notice], [workers, '']);
    rows.push(await encoders.firstPosition([text]));
    await encoders.dispose();
  }
  assert.deepEqual(rows[1], rows[0]);
});

test('auto says which backend it chose, for any number of workers', async () => {
  const encoders = await openEncoders(bundle, { workers: 2 });
  assert.match(encoders.notice, /backend (native|wasm)/);
  await encoders.dispose();
});

test('an invalid number of workers is refused', async () => {
  for (const workers of [-1, 1.5, Number.NaN, 257]) {
    await assert.rejects(openEncoders(bundle, { backend: 'wasm', workers }), (error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, /^Expected `workers` to be a whole number of threads from 0 to 256, got/);
      return true;
    });
  }
});
