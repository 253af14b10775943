/** A bundle's model on as many cores as wanted: TensorFlow uses all by itself, TF.js's own backends in a pool. */
import { availableParallelism, totalmem } from 'node:os';

import { useBackend } from './backends/index.js';
import { Encoder } from './encoder.js';
import { EncoderPool } from './encoder_pool.js';
import { UserError } from './errors.js';

/** What Node and TF.js take in a thread beside the weights: with albert_tiny's 8 MB each took 30 MB. */
const WORKER_BYTES = 24e6;

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
    if (name !== 'native') {
      assertMemory(bundle, workers);
      return EncoderPool.start(bundle, { backend: name, notice, workers });
    }
  }
  return Encoder.load(bundle, { backend });
}

/**
 * Each encoder has the model in memory; one too many, and the system kills the program without a word.
 *
 * @param {import('./bundle.js').Bundle} bundle
 * @param {number} workers
 * @throws {UserError} as many as this machine cannot hold
 */
function assertMemory({ contract }, workers) {
  const weights = Object.entries(contract.files).filter(([name]) => name.endsWith('.bin') && !name.startsWith('saved_model/'));
  const each = WORKER_BYTES + weights.reduce((sum, [, { size }]) => sum + size, 0);
  const most = Math.max(1, Math.floor(totalmem() / each));
  if (workers <= most) return;
  throw new UserError(`got ${workers} encoders at a time, each with the model in memory, expected at most ${most} on this machine; give fewer \`workers\``, 'workers');
}
