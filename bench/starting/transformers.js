/**
 * transformers.js from the start of the process to the vector of one text, without a classifier:
 * `node transformers.js FOLDER TEXT`.
 */
import { basename, dirname } from 'node:path';

import { requirePeer } from '../peers/require.js';

const [folder, text] = process.argv.slice(2);
const { env, pipeline } = requirePeer('@huggingface/transformers');
env.allowRemoteModels = false;
env.localModelPath = dirname(folder);
const extract = await pipeline('feature-extraction', basename(folder), { dtype: 'fp32' });
const { data } = await extract([text], { pooling: 'cls' });
console.log(JSON.stringify([...data]));
