import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { useBackend } from '../../node_bridge/backends/index.js';

await useBackend('wasm');

/** @param {number[]} shape @param {number} salt */
function numbers(shape, salt) {
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, (_, i) => Math.sin(i * salt)),
    shape,
  );
}

for (const batch of [[], [1], [3]]) {
  for (const [transposeA, transposeB] of [
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ]) {
    test(`matMul on wasm equals a plain sum: batch [${batch}], transposed ${transposeA}, ${transposeB}`, () => {
      const [m, k, n] = [5, 7, 4];
      const a = numbers([...batch, ...(transposeA ? [k, m] : [m, k])], 3);
      const b = numbers([...batch, ...(transposeB ? [n, k] : [k, n])], 5);
      const before = tf.memory().numTensors;
      const product = tf.matMul(a, b, transposeA, transposeB);
      assert.equal(tf.memory().numTensors, before + 1);
      assert.deepEqual(product.shape, [...batch, m, n]);
      const [x, y, z] = [a.dataSync(), b.dataSync(), product.dataSync()];
      z.forEach((value, at) => {
        const [part, row, column] = [Math.floor(at / (m * n)), Math.floor(at / n) % m, at % n];
        let sum = 0;
        for (let i = 0; i < k; i += 1) {
          const left = part * m * k + (transposeA ? i * m + row : row * k + i);
          const right = part * k * n + (transposeB ? column * k + i : i * n + column);
          sum += x[left] * y[right];
        }
        assert(Math.abs(value - sum) < 1e-5, `${at}: got ${value}, expected ${sum}`);
      });
    });
  }
}
