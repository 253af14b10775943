/**
 * The TF.js backends by name. Only this folder names backend packages.
 */
import { EnvironmentProblem, UserError } from '../support/errors.js';
import { tensorFromArray } from './tensors.js';
import { loadPackage, tf } from './tfjs.js';

/**
 * @typedef {import('../encoder/model.js').Model} Model
 * @typedef {import('./tensors.js').MakeTensor} MakeTensor
 *
 * @typedef {object} BackendModule
 * @property {() => Promise<void>} register registers it in TF.js
 * @property {(bundle: import('../bundle/bundle.js').Bundle) => Promise<Model>} [openSavedModel] if it
 *   can run SavedModels; see native.js
 * @property {MakeTensor} [makeTensor] if it has a way that stores the values only once
 * @property {() => string} [version] of the library that computes, if that is not TF.js
 *
 * @typedef {object} Backend
 * @property {string} name one of BACKEND_NAMES, never `auto`
 * @property {string} version of the library that computes; another version may give other bits
 * @property {string} notice a message for people about the choice; empty if they made it
 * @property {BackendModule['openSavedModel']} openSavedModel
 * @property {MakeTensor} makeTensor
 */

/** Plain JavaScript: slow, but runs everywhere. The package registers itself when it is loaded. */
const CPU = {
  async register() {
    loadPackage('backend-cpu');
  },
};

/** @type {Record<string, {tfjsName: string, load: () => Promise<BackendModule>}>} `tfjsName`: its name in TF.js */
const BACKENDS = {
  native: { tfjsName: 'tensorflow', load: () => import('./native.js') },
  wasm: { tfjsName: 'wasm', load: () => import('./wasm.js') },
  cpu: { tfjsName: 'cpu', load: async () => CPU },
};

/** Names that `useBackend` takes. */
export const BACKEND_NAMES = ['auto', ...Object.keys(BACKENDS)];
export const DEFAULT_BACKEND = 'auto';

/**
 * Makes a backend the current one of TF.js.
 *
 * @param {string} name one of BACKEND_NAMES; `auto` takes the fastest that works here
 * @returns {Promise<Backend>}
 * @throws {UserError} the name is unknown
 * @throws {EnvironmentProblem} the native backend is missing or does not load
 */
export async function useBackend(name) {
  if (!BACKEND_NAMES.includes(name)) {
    throw new UserError(`Expected \`backend\` to be one of ${BACKEND_NAMES.join(', ')}, got \`${name}\``, 'backend');
  }
  // Without this the cpu backend prints an advertisement for another backend on every start.
  tf.enableProdMode();
  return name === 'auto' ? useFastestBackend() : startBackend(name);
}

/** Native, else wasm. */
async function useFastestBackend() {
  try {
    return { ...(await startBackend('native')), notice: 'backend native' };
  } catch (error) {
    if (!(error instanceof EnvironmentProblem)) throw error;
    const { NotBuilt } = await import('./tfjs_node.js');
    const notice =
      error instanceof NotBuilt
        ? 'backend wasm; `nox -s native` builds a faster one'
        : `warning: ${error.message}; backend wasm is taken`;
    return { ...(await startBackend('wasm')), notice };
  }
}

/** @param {string} name @returns {Promise<Backend>} */
async function startBackend(name) {
  const { tfjsName, load } = BACKENDS[name];
  const { register, openSavedModel, makeTensor = tensorFromArray, version } = await load();
  await register();
  if (tf.getBackend() !== tfjsName && !(await tf.setBackend(tfjsName))) {
    throw new UserError(`The ${name} backend does not start here; try another \`backend\``, 'backend');
  }
  await tf.ready();
  const versions = [`TF.js ${tf.version_core}`, ...(version ? [version()] : [])];
  return { name, version: versions.join(', '), notice: '', openSavedModel, makeTensor };
}
