/** The peer that takes texts: transformers.js's feature extraction, from a local folder. */
import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';

import { requirePeer } from '../peers/require.js';
import { serve, measurePass } from '../serve.js';

const BATCH = 32;

const { env, pipeline } = requirePeer('@huggingface/transformers');
/** @type {any} */
let extract;
/** @type {string[]} */
let texts = [];

/** float32[hidden] of each text, at position 0. */
async function runPass() {
  const vectors = [];
  for (let from = 0; from < texts.length; from += BATCH) {
    const { data, dims } = await extract(texts.slice(from, from + BATCH), { pooling: 'cls' });
    for (let row = 0; row < dims[0]; row += 1) vectors.push(data.slice(row * dims[1], (row + 1) * dims[1]));
  }
  return vectors;
}

await serve({
  open: async ({ folder }) => {
    env.allowRemoteModels = false;
    env.localModelPath = dirname(folder);
    extract = await pipeline('feature-extraction', basename(folder), { dtype: 'fp32' });
  },
  texts: ({ file }) => {
    texts = JSON.parse(readFileSync(file, 'utf8'));
  },
  vectors: async ({ count }) => (await runPass()).slice(0, count).map((/** @type {Float32Array} */ row) => [...row]),
  time: ({ at_least }) => measurePass(runPass, at_least),
});
