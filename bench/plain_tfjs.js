/** Plain TF.js, as its users have it: without what node_bridge adds to a backend. */
import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';

import { loadGraphModel } from '@tensorflow/tfjs-converter';
import * as tf from '@tensorflow/tfjs-core';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';

import { MODEL_FILE, readArtifacts } from '../node_bridge/bundle/model_json.js';

/** Makes wasm the current backend. */
export async function usePlainWasm() {
  const require = createRequire(import.meta.url);
  setWasmPaths(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + sep);
  tf.enableProdMode();
  await tf.setBackend('wasm');
}

/**
 * Loads a GraphModel from any directory with a model.json.
 *
 * @param {string} directory
 * @returns {Promise<(values: Record<string, tf.Tensor>, output: string) => tf.Tensor>} runs it:
 *   takes inputs by the names of the signature, returns one output by its name; only one, since the
 *   fused tanh of a pooler has no kernel on wasm
 */
export async function openGraph(directory) {
  const artifacts = readArtifacts(join(directory, MODEL_FILE));
  const model = await loadGraphModel({ load: async () => artifacts });
  const { inputs, outputs } = artifacts.signature;
  return (values, output) => {
    const feeds = Object.fromEntries(
      // The stock converter's names for the inputs end in `:0`.
      Object.values(/** @type {Record<string, {name: string}>} */ (inputs)).map(({ name }) => [name, values[name.split(':')[0]]]),
    );
    return /** @type {tf.Tensor} */ (model.execute(feeds, outputs[output].name));
  };
}
