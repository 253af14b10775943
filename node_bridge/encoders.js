/** A bundle's model on as many cores as wanted: TensorFlow uses all by itself, TF.js's own backends in a pool. */
import { availableParallelism } from 'node:os';

import { useBackend } from './backends/index.js';
import { Encoder } from './encoder.js';
import { EncoderPool } from './encoder_pool.js';
import { UserError } from './errors.js';

/**
 * @typedef {object} Whole what `openEncoders` gives beyond the encoder of features.js
 * @property {string} notice what to tell a person of the backend
 * @property {Encoder['run']} run
 * @property {() => unknown} dispose
 * @typedef {import('./features.js').Encoder & Whole} Encoders
 */

/**
 * @param {import('./bundle.js').Bundle} bundle
 * @param {object} [options]
 * @param {string} [options.backend] `auto` (default), `native`, `wasm` or `cpu`
 * @param {number} [options.workers] how many encoders run at a time on wasm and cpu, each with the
 *   model in memory; one a core by default. A single one runs in this thread.
 * @returns {Promise<Encoders>}
 * @throws {UserError} as Encoder.load, or `workers` is no whole number
 */
export async function openEncoders(bundle, { backend = 'auto', workers = availableParallelism() } = {}) {
  if (!(Number.isInteger(workers) && workers >= 1)) {
    throw new UserError(`Expected \`workers\` to be a whole number of encoders, at least 1, got \`${workers}\``, 'workers');
  }
  if (workers > 1) {
    const { name, notice } = await useBackend(backend);
    if (name !== 'native') return EncoderPool.start(bundle, { backend: name, notice, workers });
  }
  return Encoder.load(bundle, { backend });
}
