/**
 * A side that runs one GraphModel on wasm: any directory with a model.json, with plain TF.js or, on
 * demand, with what node_bridge adds to the backend.
 */
import * as tf from '@tensorflow/tfjs-core';

import { useBackend } from '../../node_bridge/backends/index.js';
import { openGraph, usePlainWasm } from '../plain_tfjs.js';
import { serve, measurePass } from '../serve.js';

const OUTPUT = 'sequence_output';
const VOCAB = 5000;

/** @type {Awaited<ReturnType<typeof openGraph>>} */
let graph;

/** float32[batch, sequence, hidden] of ids that depend on their position. @param {number} batch @param {number} sequence */
function runGraph(batch, sequence) {
  return tf.tidy(() => {
    const ids = tf.tensor(
      Int32Array.from({ length: batch * sequence }, (_, i) => 5 + ((i * 7919) % (VOCAB - 5))),
      [batch, sequence],
      'int32',
    );
    const values = { input_ids: ids, attention_mask: tf.onesLike(ids), token_type_ids: tf.zerosLike(ids) };
    return graph(values, OUTPUT).dataSync();
  });
}

await serve({
  open: async ({ directory, ours }) => {
    await (ours ? useBackend('wasm') : usePlainWasm());
    graph = await openGraph(directory);
  },
  values: ({ batch, sequence }) => [...runGraph(batch, sequence)],
  time: ({ batch, sequence, at_least }) => measurePass(() => void runGraph(batch, sequence), at_least),
});
