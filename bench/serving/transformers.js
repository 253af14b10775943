/** transformers.js behind the same server: the vector of [CLS], without a classifier. */
import { basename, dirname } from 'node:path';

import { requirePeer } from '../peers/require.js';
import { serve } from '../serve.js';
import { listen } from './server.js';

const { env, pipeline } = requirePeer('@huggingface/transformers');
/** @type {any} */
let extract;

await serve({
  open: async ({ folder }) => {
    env.allowRemoteModels = false;
    env.localModelPath = dirname(folder);
    extract = await pipeline('feature-extraction', basename(folder), { dtype: 'fp32' });
  },
  listen: () =>
    listen(async (text) => {
      const { data } = await extract([text], { pooling: 'cls' });
      return { vector: Array.from(data.slice(0, 4)) };
    }),
});
