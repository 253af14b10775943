/**
 * Runs any TF.js GraphModel and writes the value of each of its nodes, for bisect.py. Stops at the first
 * node that throws, and names it.
 */
import { loadGraphModel } from '@tensorflow/tfjs-converter';
import * as tf from '@tensorflow/tfjs-core';
import { readFileSync } from 'node:fs';

import { useBackend } from '../../node_bridge/backends/index.js';
import { readArtifacts } from '../../node_bridge/bundle/model_json.js';
import { backendOption } from '../../node_bridge/model_options.js';
import { runCommand } from '../../node_bridge/support/command_line.js';
import { requiredOption } from '../../node_bridge/support/options.js';
import { writeSafetensors } from '../../node_bridge/support/safetensors.js';

const DESCRIPTION = `Gives the value of each node of a GraphModel.

  node parity_tests/runners/run_graph.js --model model.json --inputs inputs.json --nodes nodes.json --out out.safetensors
`;
/** How many nodes are fetched in one run; if it throws, they are fetched one by one. */
const CHUNK = 32;

const OPTIONS = {
  model: requiredOption({ value: 'FILE', help: 'model.json, with its weights beside it' }),
  inputs: requiredOption({ value: 'FILE', help: 'JSON: dtype, shape and values of each input' }),
  nodes: requiredOption({ value: 'FILE', help: 'JSON: the names of the nodes' }),
  out: requiredOption({ value: 'FILE', help: 'gets the values' }),
  backend: { ...backendOption, default: 'wasm' },
};

await runCommand({ description: DESCRIPTION, options: OPTIONS, main });

/** @param {import('../../node_bridge/support/options.js').Values<typeof OPTIONS>} options */
async function main({ model: path, inputs, nodes, out, backend }) {
  await useBackend(backend);
  /** @type {Record<string, import('../../node_bridge/support/safetensors.js').Tensor>} */
  const tensors = {};
  /** @type {Record<string, {shape: number[], values: string[]}>} */
  const strings = {};
  /** @type {{node: string | null, message: string} | null} */
  let threw = null;
  /** @type {string[]} */
  let asked = [];
  try {
    const model = await loadGraphModel({ load: async () => readArtifacts(path) });
    const feeds = createFeeds(JSON.parse(readFileSync(inputs, 'utf8')));
    /** @type {string[]} */
    const names = JSON.parse(readFileSync(nodes, 'utf8'));
    for (let from = 0; from < names.length; from += CHUNK) {
      const chunk = names.slice(from, from + CHUNK);
      for (asked of (await canRun(model, feeds, chunk)) ? [chunk] : chunk.map((name) => [name])) {
        const fetched = [await model.executeAsync(feeds, asked)].flat();
        for (const [i, tensor] of fetched.entries()) await saveValue(asked[i], tensor, tensors, strings);
      }
    }
  } catch (error) {
    threw = { node: asked[0] ?? null, message: /** @type {Error} */ (error).message.split('\n')[0] };
  }
  writeSafetensors(out, tensors, { strings: JSON.stringify(strings), threw: JSON.stringify(threw) });
}

/**
 * @param {import('@tensorflow/tfjs-converter').GraphModel} model
 * @param {Record<string, tf.Tensor>} feeds
 * @param {string[]} names
 */
async function canRun(model, feeds, names) {
  try {
    tf.dispose(await model.executeAsync(feeds, names));
    return true;
  } catch {
    return false;
  }
}

/**
 * Stores the value of a node.
 *
 * @param {string} name of the node
 * @param {tf.Tensor} tensor its value
 * @param {Record<string, import('../../node_bridge/support/safetensors.js').Tensor>} tensors receives
 *   numbers
 * @param {Record<string, {shape: number[], values: string[]}>} strings receives strings
 */
async function saveValue(name, tensor, tensors, strings) {
  const { dtype, shape } = tensor;
  const data = await tensor.data();
  if (dtype === 'string') {
    strings[name] = { shape, values: Array.from(/** @type {any} */ (data)) };
  } else if (dtype === 'float32') {
    tensors[name] = { dtype: 'F32', shape, data: Float32Array.from(/** @type {any} */ (data)) };
  } else {
    tensors[name] = { dtype: 'I32', shape, data: Int32Array.from(/** @type {any} */ (data)) };
  }
}

/** @param {Record<string, {dtype: 'int32' | 'string' | 'float32', shape: number[], values: any[]}>} inputs */
function createFeeds(inputs) {
  const entries = Object.entries(inputs).map(([name, { dtype, shape, values }]) => [name, tf.tensor(values, shape, dtype)]);
  return /** @type {Record<string, tf.Tensor>} */ (Object.fromEntries(entries));
}
