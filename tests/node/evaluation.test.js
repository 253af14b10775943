import assert from 'node:assert/strict';
import { test } from 'node:test';

import { evaluate } from '../../node_bridge/evaluation.js';

test('cross-entropy, accuracy, and the most probable label', async () => {
  const rows = [[0.5, 0.25, 0.25], [0, 0.75, 0.25], [1, 0, 0]].map((row) => Float32Array.from(row));
  const classifier = { probabilities: async () => rows };
  const { loss, accuracy, predictions } = await evaluate(classifier, rows, Int32Array.of(0, 2, 1));
  assert.deepEqual([...predictions], [0, 1, 0]);
  assert.equal(accuracy, 1 / 3);
  assert(Math.abs(loss - (Math.log(2) + Math.log(4) + 7 * Math.log(10)) / 3) < 1e-9);
});
