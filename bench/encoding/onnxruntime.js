/**
 * ONNX Runtime in Node, with a model in the form that transformers.js takes: `onnxruntime-node`, or
 * `onnxruntime-web` on wasm with as many threads as there are cores (by default it uses half).
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

import { requirePeer } from '../peers/require.js';
import { serve, measurePass } from '../serve.js';

const OUTPUT = 'last_hidden_state';
const NAMES = ['input_ids', 'attention_mask', 'token_type_ids'];

const ort = requirePeer(process.argv[2]);
/** @type {any} an InferenceSession */
let session;
/** @type {Record<string, any>[]} tensors by name, for each batch */
let batches = [];

/** int64[batch, sequence] by name, padded to the longest. @param {number[][]} rows */
function createFeeds(rows) {
  const shape = [rows.length, Math.max(...rows.map((ids) => ids.length))];
  const [ids, mask, types] = NAMES.map(() => new BigInt64Array(shape[0] * shape[1]));
  rows.forEach((row, at) => {
    ids.set(row.map(BigInt), at * shape[1]);
    mask.fill(1n, at * shape[1], at * shape[1] + row.length);
  });
  return Object.fromEntries([ids, mask, types].map((data, i) => [NAMES[i], new ort.Tensor('int64', data, shape)]));
}

/** float32[hidden] of each text, at position 0. */
async function runPass() {
  const vectors = [];
  for (const feeds of batches) {
    const { [OUTPUT]: output } = await session.run(feeds, [OUTPUT]);
    const [rows, sequence, hidden] = output.dims;
    for (let row = 0; row < rows; row += 1) {
      vectors.push(output.data.slice(row * sequence * hidden, row * sequence * hidden + hidden));
    }
    output.dispose();
  }
  return vectors;
}

await serve({
  open: async ({ model }) => {
    ort.env.wasm.numThreads = availableParallelism();
    session = await ort.InferenceSession.create(readFileSync(model));
  },
  batches: ({ file }) => {
    batches = JSON.parse(readFileSync(file, 'utf8')).map(createFeeds);
  },
  vectors: async ({ count }) => (await runPass()).slice(0, count).map((row) => [...row]),
  time: ({ at_least }) => measurePass(runPass, at_least),
});
