/** The figures of an evaluation. The expected ones were computed by hand, as the comments show. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Decisions } from '../../node_bridge/classifier/evaluation/evaluation.js';
import { computeMetrics } from '../../node_bridge/classifier/evaluation/metrics.js';

/** @param {[number[], number][]} answers probabilities and the index of the true label */
function decide(answers) {
  const decisions = new Decisions(answers[0][0].length, answers.length);
  for (const [row, target] of answers) decisions.add(Float32Array.from(row), target);
  return decisions.summarize();
}

/** @param {number | null | undefined} got @param {number} expected float32 rounds the probabilities */
function assertNear(got, expected) {
  assert(got !== null && got !== undefined && Math.abs(got - expected) < 1e-6, `got ${got}, expected ${expected}`);
}

/** Two labels: three of 坏 (0) and five of 好 (1); one of 坏 and two of 好 are wrong. */
const REVIEWS = /** @type {[number[], number][]} */ ([
  [[0.875, 0.125], 0],
  [[0.75, 0.25], 0],
  [[0.25, 0.75], 0],
  [[0.125, 0.875], 1],
  [[0.125, 0.875], 1],
  [[0.25, 0.75], 1],
  [[0.75, 0.25], 1],
  [[0.5, 0.5], 1],
]);

test('precision, recall, F1 and support of each label, accuracy, majority baseline', () => {
  const metrics = computeMetrics(decide(REVIEWS), ['坏', '好']);
  const { labels, texts, right, accuracy, majority, confusion, macro_f1: macroF1, accuracy_interval: interval } = metrics;
  // Predicted 坏: texts 1, 2, 7, 8 (of equal probabilities the first label); 2 of 4 are right, of 3 that have it.
  // Predicted 好: texts 3, 4, 5, 6; 3 of 4 are right, of 5 that have it.
  assert.deepEqual(confusion, [
    [2, 1],
    [2, 3],
  ]);
  assert.deepEqual(labels, [
    { label: '坏', precision: 2 / 4, recall: 2 / 3, f1: 4 / 7, texts: 3, predicted: 4 },
    { label: '好', precision: 3 / 4, recall: 3 / 5, f1: 6 / 9, texts: 5, predicted: 4 },
  ]);
  assert.deepEqual([texts, right, accuracy], [8, 5, 0.625]);
  assertNear(macroF1, 13 / 21); // (4/7 + 2/3) / 2 = (12 + 14) / 42
  assert.deepEqual(majority, { label: '好', accuracy: 0.625 });
  // Wilson: (0.625 + 3.8415/16 ± 1.96 √(0.234375/8 + 3.8415/256)) / (1 + 3.8415/8)
  assert.deepEqual(
    interval.map((end) => end.toFixed(3)),
    ['0.306', '0.863'],
  );
  // −(3 ln 0.875 + 2 ln 0.75 + 2 ln 0.25 + ln 0.5) / 8
  assertNear(metrics.loss, (3 * 0.1335314 + 2 * 0.2876821 + 2 * 1.3862944 + Math.LN2) / 8);
  // The baseline of another set's majority.
  assert.deepEqual(computeMetrics(decide(REVIEWS), ['坏', '好'], '坏').majority, { label: '坏', accuracy: 0.375 });
});

test('expected calibration error over 15 bins', () => {
  const {
    expected_calibration_error: error,
    mean_confidence: mean,
    bins,
  } = computeMetrics(decide(REVIEWS), ['坏', '好']).calibration;
  // Bin 8 (7/15 to 8/15): 0.5, wrong. Bin 12 (11/15 to 12/15): 0.75 four times, 2 right. Bin 14 (13/15 to 14/15):
  // 0.875 three times, all right.
  const filled = bins.flatMap((bin, i) => (bin.texts === 0 ? [] : [[i, bin.texts, bin.right, bin.confidence, bin.accuracy]]));
  assert.deepEqual(filled, [
    [7, 1, 0, 0.5, 0],
    [11, 4, 2, 0.75, 0.5],
    [13, 3, 3, 0.875, 1],
  ]);
  // (1·0.5 + 4·0.25 + 3·0.125) / 8 = 1.875 / 8
  assertNear(error, 0.234375);
  assertNear(mean, 6.125 / 8);
  assert.equal(bins.length, 15);
  assert.deepEqual([bins[0].from, bins[14].to, bins[0].confidence, bins[0].accuracy], [0, 1, null, null]);
});

test('a bin has its upper end and not its lower one; 0 is in the first and 1 in the last', () => {
  const { bins } = computeMetrics(
    decide([
      [[1, 0, 0], 0],
      [[0, 0, 0], 0],
      [[0.2, 0.2, 0.2], 0],
    ]),
    ['a', 'b', 'c'],
  ).calibration;
  // 0.2 in float32 is a little more than 3/15, so it is in the fourth.
  assert.deepEqual(
    bins.map(({ texts }) => texts),
    [1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
  );
});

test('a classifier that is right as often as it says has no calibration error', () => {
  const answers = Array.from({ length: 4 }, (_, i) => /** @type {[number[], number]} */ ([[0.25, 0.75], i === 0 ? 0 : 1]));
  assert.equal(computeMetrics(decide(answers), ['0', '1']).calibration.expected_calibration_error, 0);
});

test('precision, recall and F1 over the threshold', () => {
  const curve = computeMetrics(decide(REVIEWS), ['坏', '好']).thresholds;
  assert(curve !== undefined);
  assert.equal(curve.label, '好');
  assert.equal(curve.points.length, 101);
  const at = (/** @type {number} */ threshold) => {
    const { precision, recall, f1 } = curve.points[Math.round(100 * threshold)];
    return [precision, recall, f1];
  };
  assert.deepEqual(at(0), [5 / 8, 1, 10 / 13]); // all 8
  assert.deepEqual(at(0.13), [5 / 7, 1, 10 / 12]); // all but 0.125
  assert.deepEqual(at(0.25), [5 / 7, 1, 10 / 12]); // the threshold itself counts
  assert.deepEqual(at(0.26), [4 / 5, 4 / 5, 8 / 10]);
  assert.deepEqual(at(0.51), [3 / 4, 3 / 5, 6 / 9]);
  assert.deepEqual(at(0.76), [1, 2 / 5, 4 / 7]);
  assert.deepEqual(at(0.88), [null, 0, 0]); // nothing is predicted
  assert.deepEqual(curve.best, { threshold: 0.13, precision: 5 / 7, recall: 1, f1: 10 / 12 });
});

test('three labels have no threshold curve; what cannot be divided is null', () => {
  const { thresholds, labels } = computeMetrics(
    decide([
      [[0.5, 0.25, 0.25], 0],
      [[0.5, 0.25, 0.25], 1],
    ]),
    ['a', 'b', 'c'],
  );
  assert.equal(thresholds, undefined);
  assert.deepEqual(labels, [
    { label: 'a', precision: 0.5, recall: 1, f1: 2 / 3, texts: 1, predicted: 2 },
    { label: 'b', precision: null, recall: 0, f1: 0, texts: 1, predicted: 0 },
    { label: 'c', precision: null, recall: null, f1: null, texts: 0, predicted: 0 },
  ]);
});
