import assert from 'node:assert/strict';
import { test } from 'node:test';

import { confusionMatrix, displayWidth, formatConfusion } from '../../node_bridge/confusion.js';

test('rows are the truth, columns what was said', () => {
  assert.deepEqual(confusionMatrix([0, 0, 1, 1, 1], [0, 1, 1, 1, 0], 2), [[1, 1], [1, 2]]);
});

test('columns keep in line with Chinese labels', () => {
  assert.equal(
    formatConfusion([[50, 3], [4, 123]], ['好评', 'bad']),
    'true \\ predicted  好评  bad\n' + '好评                50    3\n' + 'bad                  4  123\n',
  );
});

test('many labels: the commonest confusions', () => {
  const labels = Array.from({ length: 20 }, (_, i) => `label${i}`);
  const matrix = labels.map((_, i) => labels.map((_, j) => 9 * Number(i === j)));
  matrix[3][7] = 5;
  matrix[4][2] = 6;
  assert.match(formatConfusion(matrix, labels), /^20 labels.*\n6 {2}label4 taken for label2\n5 {2}label3 taken for label7\n$/);
});

test('widths', () => {
  assert.deepEqual(['a', '好', 'ｱ', 'Ａ', 'é', 'e\u0301', '𠀀', '😀', '，'].map(displayWidth), [1, 2, 1, 2, 1, 1, 2, 2, 2]);
});
