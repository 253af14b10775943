/** One encoder of encoder_pool.js: loads the model, says that it is ready, then answers batches. */
import { parentPort, workerData } from 'node:worker_threads';

import { Bundle } from './bundle.js';
import { Encoder } from './encoder.js';
import { UserError } from './errors.js';

/**
 * @typedef {'firstPosition' | 'sequences'} Method of Encoder
 * @typedef {{rows: Float32Array[]} | {error: {message: string, exitCode?: number}}} Answer
 */

const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);

/** @param {() => Promise<Float32Array[]>} work */
async function answer(work) {
  try {
    const rows = await work();
    port.postMessage({ rows }, rows.map(({ buffer }) => /** @type {ArrayBuffer} */ (buffer)));
  } catch (error) {
    const { message, stack, exitCode } = /** @type {Error & {exitCode?: number}} */ (error);
    port.postMessage({ error: { message: exitCode === undefined ? (stack ?? message) : message, exitCode } });
  }
}

/** @type {Encoder} */
let encoder;
await answer(async () => {
  const { dir, hash, backend } = workerData;
  const bundle = Bundle.open(dir);
  if (bundle.hash !== hash) throw new UserError(`${dir} has been changed while it was in use; start again`);
  encoder = await Encoder.load(bundle, { backend });
  return [];
});
port.on('message', (/** @type {{method: Method, encodings: import('./encoder.js').Encoding[]}} */ { method, encodings }) => {
  void answer(() => encoder[method](encodings));
});
