import assert from 'node:assert/strict';
import { test } from 'node:test';

import { foldScaling, featuresInMemory, scaleInPlace, fitScaling } from '../../node_bridge/classifier/training/feature_sets.js';

const FEATURES = [
  [1, 5, 10],
  [3, 5, 10],
  [5, 5, 40],
  [7, 5, 40],
].map((row) => Float32Array.from(row));

/** @param {Float32Array} row @param {import('../../node_bridge/classifier/training/feature_sets.js').Scaling} scaling */
function scaled(row, scaling) {
  const copy = row.slice();
  scaleInPlace(copy, scaling);
  return copy;
}

test('scaled features have mean 0 and deviation 1; a constant feature stays finite', () => {
  const rows = FEATURES.map((row) => scaled(row, fitScaling(featuresInMemory(FEATURES, 3))));
  const deviation = Math.sqrt((9 + 1 + 1 + 9) / 4);
  rows.forEach((row, i) => {
    [(2 * i - 3) / deviation, 0, i < 2 ? -1 : 1].forEach((value, j) => assert(Math.abs(row[j] - value) < 1e-6));
  });
  const constant = fitScaling(featuresInMemory([Float32Array.of(2, 2), Float32Array.of(2, 2)], 2));
  assert.deepEqual([...scaled(Float32Array.of(2, 2), constant)], [0, 0]);
});

test('the folded layer gives for plain vectors what the layer gives for scaled ones', () => {
  const scaling = fitScaling(featuresInMemory(FEATURES, 3));
  /** @type {import('../../node_bridge/classifier/training/feature_sets.js').DenseLayer} */
  const layer = { kernel: Float32Array.of(1, -2, 3, 0.5, -1, 4), bias: Float32Array.of(0.25, -7) };
  /** @param {Float32Array} x @param {typeof layer} layer */
  const dense = (x, { kernel, bias }) => [0, 1].map((u) => bias[u] + x.reduce((s, v, i) => s + v * kernel[2 * i + u], 0));
  for (const row of FEATURES) {
    const expected = dense(scaled(row, scaling), layer);
    const folded = dense(row, foldScaling(layer, scaling));
    expected.forEach((value, u) => assert(Math.abs(folded[u] - value) < 1e-5));
  }
});

test('a text with several vectors counts once for each vector', () => {
  const one = fitScaling(featuresInMemory(FEATURES, 3));
  const joined = [Float32Array.of(...FEATURES[0], ...FEATURES[1], ...FEATURES[2]), FEATURES[3]];
  assert.deepEqual(fitScaling(featuresInMemory(joined, 3)), one);
});
