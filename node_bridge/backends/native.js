/**
 * TensorFlow itself, in this process: by `nox -s native` the very library that Python runs. Runs a
 * SavedModel in TensorFlow's own session, and anything else kernel by kernel.
 */
import { EnvironmentProblem } from '../errors.js';
import { tf } from '../tfjs.js';
import { fromArray } from './tensors.js';
import { loadTfjsNode } from './tfjs_node.js';

export { openSavedModel } from './saved_model.js';

/** @type {import('./tfjs_node.js').TfjsNode | undefined} */
let loaded;

/**
 * Loads the library and sees that it can multiply; once.
 *
 * @returns {import('./tfjs_node.js').TfjsNode}
 * @throws {EnvironmentProblem} it is not there, or does not work
 */
export function library() {
  if (loaded !== undefined) return loaded;
  const found = loadTfjsNode(); // which makes it TF.js's current backend
  const product = tf.tidy(() => tf.matMul([[1, 2]], [[3], [4]]).dataSync()[0]);
  if (product !== 11) {
    throw new EnvironmentProblem(`${found.package} multiplies wrongly: got ${product}, expected 11; use another \`backend\``, 'backend');
  }
  loaded = found;
  return loaded;
}

/** @throws {EnvironmentProblem} see `library` */
export async function register() {
  library();
}

/** The TensorFlow that computes. */
export function version() {
  return `TensorFlow ${library().tensorflow}`;
}

/**
 * A tensor whose values TensorFlow has from the start. tfjs-node hands them over when a tensor is
 * first used, and would have all weights of a model twice in its first run.
 *
 * @type {import('./tensors.js').MakeTensor}
 */
export function makeTensor(shape, dtype, fill) {
  const tensor = fromArray(shape, dtype, fill);
  /** @type {any} */ (tf.backend()).getInputTensorIds([tensor]);
  return tensor;
}
