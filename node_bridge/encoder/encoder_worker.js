/** A worker of encoder_pool.js: loads the model, reports that it is ready, then encodes batches. */
import { parentPort, workerData } from 'node:worker_threads';

import { Bundle } from '../bundle/bundle.js';
import { UserError } from '../support/errors.js';
import { Encoder } from './encoder.js';

/**
 * @typedef {import('./encoder.js').Encoding} Encoding
 * @typedef {'firstPosition' | 'means' | 'pooled' | 'sequences' | 'rowsOf' | 'run'} Method of Encoder
 * @typedef {{method: Method, encodings: Encoding[], rest: any[]}} WorkerRequest
 * @typedef {Float32Array[] | Record<string, {shape: number[], data: Float32Array}>} WorkerResult
 * @typedef {{name?: string, message: string, stack?: string, exitCode?: number, code?: string, path?: string}} SerializedError the fields of an error
 * @typedef {{result: WorkerResult} | {error: SerializedError}} WorkerReply
 */

const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);

/** Runs the work and posts its result or its error. @param {() => Promise<WorkerResult>} work */
async function reply(work) {
  try {
    const result = await work();
    const arrays = Array.isArray(result) ? result : Object.values(result).map(({ data }) => data);
    // Two outputs may be the same node of the model and share memory.
    const buffers = new Set(arrays.map(({ buffer }) => /** @type {ArrayBuffer} */ (buffer)));
    port.postMessage({ result }, [...buffers]);
  } catch (error) {
    const { name, message, stack, exitCode, code, path } = /** @type {SerializedError & Error} */ (error);
    port.postMessage({ error: { name, message, stack, exitCode, code, path } });
  }
}

/** @type {Encoder} */
let encoder;
await reply(async () => {
  const { dir, hash, backend } = workerData;
  const bundle = Bundle.open(dir);
  if (bundle.hash !== hash) throw new UserError(`${dir} has been changed while it was in use; start again`);
  encoder = await Encoder.load(bundle, { backend });
  return [];
});
port.on('message', (/** @type {WorkerRequest} */ { method, encodings, rest }) => {
  void reply(() => /** @type {(...args: any[]) => Promise<WorkerResult>} */ (encoder[method]).call(encoder, encodings, ...rest));
});
