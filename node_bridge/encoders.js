/** A bundle's model on all cores: TensorFlow uses them by itself, TF.js's own backends in a pool. */
import { availableParallelism } from 'node:os';

import { Encoder } from './encoder.js';
import { EncoderPool } from './encoder_pool.js';

/** @typedef {import('./features.js').Encoder & {dispose: () => unknown, notice?: string}} Encoders */

/** How many encoders run at a time, where nothing else is asked for. @param {string} backend not `auto` */
export function lanesOf(backend) {
  return backend === 'native' ? 1 : availableParallelism();
}

/**
 * @param {import('./bundle.js').Bundle} bundle
 * @param {{backend: string, workers?: number}} options `backend`: not `auto`
 * @returns {Promise<Encoders>}
 * @throws {import('./errors.js').UserError} as Encoder.load
 */
export async function openEncoders(bundle, { backend, workers = lanesOf(backend) }) {
  if (backend === 'native') return Encoder.load(bundle, { backend });
  return EncoderPool.start(bundle, { backend, workers });
}
