/**
 * A side that runs one GraphModel on wasm: any directory with a model.json, by nothing but TF.js,
 * and on demand with what node_bridge adds to the backend.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';

import { loadGraphModel } from '@tensorflow/tfjs-converter';
import * as tf from '@tensorflow/tfjs-core';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';

import { useBackend } from '../../node_bridge/backends/index.js';
import { serve, timed } from '../serve.js';

const OUTPUT = 'sequence_output';
const VOCAB = 5000;

/** @type {import('@tensorflow/tfjs-converter').GraphModel} */
let model;
/** @type {any} */
let signature;

/** float32[batch, sequence, hidden] of ids that depend on their place. @param {number} batch @param {number} sequence */
function run(batch, sequence) {
  return tf.tidy(() => {
    const ids = tf.tensor(
      Int32Array.from({ length: batch * sequence }, (_, i) => 5 + ((i * 7919) % (VOCAB - 5))),
      [batch, sequence],
      'int32',
    );
    const values = /** @type {Record<string, tf.Tensor>} */ ({
      input_ids: ids,
      attention_mask: tf.onesLike(ids),
      token_type_ids: tf.zerosLike(ids),
    });
    const feeds = Object.fromEntries(
      // The stock converter's names for the inputs end in `:0`.
      Object.values(signature.inputs).map(({ name }) => [name, values[name.split(':')[0]]]),
    );
    const result = /** @type {tf.Tensor} */ (model.execute(feeds, signature.outputs[OUTPUT].name));
    return result.dataSync();
  });
}

await serve({
  open: async ({ directory, ours }) => {
    if (ours) {
      await useBackend('wasm');
    } else {
      const require = createRequire(import.meta.url);
      setWasmPaths(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + sep);
      tf.enableProdMode();
      await tf.setBackend('wasm');
    }
    const read = (/** @type {string} */ name) => readFileSync(join(directory, name));
    const document = JSON.parse(read('model.json').toString('utf8'));
    signature = document.signature;
    /** @type {{paths: string[], weights: tf.io.WeightsManifestEntry[]}[]} */
    const manifest = document.weightsManifest;
    model = await loadGraphModel({
      load: async () => ({
        ...document,
        weightSpecs: manifest.flatMap(({ weights }) => weights),
        weightData: manifest
          .flatMap(({ paths }) => paths)
          .map((path) => Uint8Array.from(read(path)).buffer),
      }),
    });
  },
  values: ({ batch, sequence }) => [...run(batch, sequence)],
  time: ({ batch, sequence, at_least }) => timed(() => void run(batch, sequence), at_least),
});
