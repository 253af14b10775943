import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  ConfusionCounts,
  evaluate,
  computeMacroF1,
  findMostProbable,
} from '../../node_bridge/classifier/evaluation/evaluation.js';
import { featuresInMemory } from '../../node_bridge/classifier/training/feature_sets.js';

test('cross-entropy, accuracy, and the most probable label', async () => {
  const rows = [
    [0.5, 0.25, 0.25],
    [0, 0.75, 0.25],
    [1, 0, 0],
  ].map((row) => Float32Array.from(row));
  const head = { labels: ['a', 'b', 'c'], probabilitiesOf: async () => rows };
  const { loss, accuracy, confusion, decisions } = await evaluate(head, featuresInMemory(rows, 3), Int32Array.of(0, 2, 1));
  assert.deepEqual(confusion.matrix, [
    [1, 0, 0],
    [1, 0, 0],
    [0, 1, 0],
  ]);
  assert.equal(accuracy, 1 / 3);
  const { targets, predictions, confidences, seconds } = decisions;
  assert.deepEqual(
    [targets, predictions].map((all) => Array.from(all)),
    [
      [0, 2, 1],
      [0, 1, 0],
    ],
  );
  assert.deepEqual(
    [confidences, seconds].map((all) => Array.from(all)),
    [
      [0.5, 0.75, 1],
      [0.25, 0.75, 0],
    ],
  );
  assert(Math.abs(loss - (Math.log(2) + Math.log(4) + 7 * Math.log(10)) / 3) < 1e-9);
});

/** A confusion with these counts. @param {number[][]} matrix */
function confusionOf(matrix) {
  const pairs = matrix.flatMap((row, i) => row.flatMap((count, j) => new Array(count).fill([i, j])));
  return new ConfusionCounts(
    pairs.map(([truth]) => truth),
    pairs.map(([, predicted]) => predicted),
    matrix.length,
  );
}

test('macro-F1 is the mean over labels; a label that never occurs does not count', () => {
  // Precision 2/3 and recall 2/4 give 4/7; 3/5 and 3/4 give 2/3.
  assert(
    Math.abs(
      computeMacroF1(
        confusionOf([
          [2, 2],
          [1, 3],
        ]),
      ) -
        (4 / 7 + 2 / 3) / 2,
    ) < 1e-12,
  );
  assert.equal(
    computeMacroF1(
      confusionOf([
        [5, 0, 0],
        [0, 0, 0],
        [0, 0, 2],
      ]),
    ),
    1,
  );
  assert.equal(
    computeMacroF1(
      confusionOf([
        [0, 4],
        [0, 4],
      ]),
    ),
    1 / 3,
  );
});

test('with more texts than fit in a batch each is counted once', async () => {
  const count = 20_000;
  const rows = Array.from({ length: count }, (_, i) => Float32Array.of(i % 3 === 0 ? 1 : 0, i % 3 === 0 ? 0 : 1));
  /** @type {number[]} */
  const asked = [];
  const head = {
    labels: ['a', 'b'],
    async probabilitiesOf(/** @type {import('../../node_bridge/classifier/training/feature_sets.js').FeatureSet} */ features) {
      asked.push(features.count);
      return Array.from({ length: features.count }, (_, i) => {
        const row = new Float32Array(2);
        features.copy(i, row, 0);
        return row;
      });
    },
  };
  const targets = Int32Array.from({ length: count }, (_, i) => (i < count / 2 ? 0 : 1));
  const { confusion, loss } = await evaluate(head, featuresInMemory(rows, 2), targets);
  assert.deepEqual(confusion.matrix, [
    [3334, 6666],
    [3333, 6667],
  ]);
  // A wrong answer has the probability 0, which counts as 1e-7.
  assert(Math.abs(loss - ((6666 + 3333) / count) * 7 * Math.log(10)) < 1e-9, String(loss));
  assert(Math.max(...asked) < count);
});

test('of equal probabilities the first label wins, with more labels than a call can have arguments', () => {
  const row = new Float32Array(200_000);
  row[150_000] = 0.5;
  row[150_001] = 0.5;
  assert.equal(findMostProbable(row), 150_000);
});
