/**
 * The TF.js backends by name. Only this folder names backend packages.
 */
import * as tf from '@tensorflow/tfjs-core';

import { UserError } from '../errors.js';

/** @type {Record<string, () => Promise<{register: () => Promise<void>}>>} */
const BACKENDS = {
  wasm: () => import('./wasm.js'),
  cpu: () => import('./cpu.js'),
};

/** Names that `useBackend` takes. */
export const BACKEND_NAMES = ['auto', ...Object.keys(BACKENDS)];

/**
 * Makes a backend the current one of TF.js.
 *
 * @param {string} name one of BACKEND_NAMES; `auto` takes the fastest that works here
 * @returns {Promise<string>} the name of the backend taken
 * @throws {UserError} unknown name
 */
export async function useBackend(name) {
  const chosen = name === 'auto' ? 'wasm' : name;
  if (!Object.hasOwn(BACKENDS, chosen)) {
    throw new UserError(`Expected --backend to be one of ${BACKEND_NAMES.join(', ')}, got \`${name}\``);
  }
  // Without it the cpu backend advertises another one on every start.
  tf.enableProdMode();
  const { register } = await BACKENDS[chosen]();
  await register();
  if (tf.getBackend() !== chosen && !(await tf.setBackend(chosen))) {
    throw new UserError(`The ${chosen} backend does not start here; try another --backend`);
  }
  await tf.ready();
  return chosen;
}
