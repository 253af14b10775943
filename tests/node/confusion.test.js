import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ConfusionCounts, formatConfusion } from '../../node_bridge/classifier/evaluation/evaluation.js';
import { displayWidth } from '../../node_bridge/support/text_table.js';

test('rows are true labels, columns are predicted labels', () => {
  assert.deepEqual(new ConfusionCounts([0, 0, 1, 1, 1], [0, 1, 1, 1, 0], 2).matrix, [
    [1, 1],
    [1, 2],
  ]);
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

test('the memory for 100,000 labels grows with the texts, not with labels squared', () => {
  const labels = 100_000;
  const truths = Int32Array.from({ length: labels }, (_, i) => i);
  const confusion = new ConfusionCounts(
    truths,
    truths.map((truth) => (truth % 10 === 0 ? 0 : truth)),
    labels,
  );
  assert.equal(confusion.matrix, undefined);
  assert.equal(confusion.pairs.length, labels);
  assert.equal(
    confusion.right.reduce((sum, count) => sum + count, 0),
    90_001,
  );
  assert.equal(confusion.predictions[0], 10_000);
});

test('control characters in a label are escaped, and a long label is cut', () => {
  const lines = formatConfusion(
    confusionOf([
      [1, 0],
      [0, 1],
    ]),
    ['\x1b]0;x\x07\n::error::x\u202e', 'y'.repeat(1000)],
  );
  assert.equal(lines.length, 3);
  assert.match(lines[1], /^\\u001b\]0;x\\u0007\\n::error::x\\u202e /);
  assert(
    lines.every((line) => line.length < 400),
    lines.join('|'),
  );
});

test('columns are aligned with Chinese labels', () => {
  assert.equal(
    formatConfusion(
      confusionOf([
        [50, 3],
        [4, 123],
      ]),
      ['好评', 'bad'],
    ).join('\n'),
    'true \\ predicted  好评  bad\n' + '好评                50    3\n' + 'bad                  4  123',
  );
});

test('with many labels the commonest confusions are printed', () => {
  const labels = Array.from({ length: 20 }, (_, i) => `label${i}`);
  const matrix = labels.map((_, i) => labels.map((_, j) => 9 * Number(i === j)));
  matrix[3][7] = 5;
  matrix[4][2] = 6;
  assert.match(
    formatConfusion(confusionOf(matrix), labels).join('\n'),
    /^20 labels.*\n6 {2}label4 taken for label2\n5 {2}label3 taken for label7$/,
  );
});

test('the display width counts wide characters twice and combining characters not at all', () => {
  assert.deepEqual(['a', '好', 'ｱ', 'Ａ', 'é', 'e\u0301', '𠀀', '😀', '，'].map(displayWidth), [1, 2, 1, 2, 1, 1, 2, 2, 2]);
});
