/**
 * TensorFlow itself, in this process: by `nox -s native` the very library that Python runs. Runs a
 * SavedModel in TensorFlow's own session, and anything else kernel by kernel.
 */
import { copySavedModel } from '../bundle/saved_model/checked_copy.js';
import { EnvironmentProblem } from '../support/errors.js';
import { tensorFromArray, tf } from './tfjs.js';
import { loadTfjsNode } from './tfjs_node.js';

/** @type {import('./tfjs_node.js').TfjsNode | undefined} */
let loaded;

/**
 * Loads the library and sees that it can multiply; once.
 *
 * @returns {import('./tfjs_node.js').TfjsNode}
 * @throws {EnvironmentProblem} it is not there, or does not work
 */
export function loadLibrary() {
  if (loaded !== undefined) return loaded;
  const found = loadTfjsNode(); // which makes it TF.js's current backend
  const product = tf.tidy(() => tf.matMul([[1, 2]], [[3], [4]]).dataSync()[0]);
  if (product !== 11) {
    throw new EnvironmentProblem(
      `${found.package} multiplies wrongly: got ${product}, expected 11; use another \`backend\``,
      'backend',
    );
  }
  loaded = found;
  return loaded;
}

/** @throws {EnvironmentProblem} see `library` */
export async function register() {
  loadLibrary();
}

/** The TensorFlow that computes. */
export function version() {
  return `TensorFlow ${loadLibrary().tensorflow}`;
}

/**
 * A tensor whose values TensorFlow has from the start. tfjs-node hands them over when a tensor is
 * first used, and would have all weights of a model twice in its first run.
 *
 * @type {import('./tfjs.js').MakeTensor}
 */
export function makeTensor(shape, dtype, populate) {
  const tensor = tensorFromArray(shape, dtype, populate);
  /** @type {any} */ (tf.backend()).getInputTensorIds([tensor]);
  return tensor;
}

// A bundle's SavedModel in TensorFlow's own session: the whole graph in one call, as Python runs it.

/** Of bundles whose contract does not say it. */
const DEFAULT_SIGNATURE = { name: 'serving_default', tags: ['serve'] };

/**
 * @typedef {import('../bundle/bundle.js').Bundle} Bundle
 * @typedef {Record<string, {tfDtype: string}>} Endpoints by name
 * @typedef {{inputs: Endpoints, outputs: Endpoints}} Signature
 */

/**
 * @param {Bundle} bundle one that has such a folder
 * @returns {Promise<import('../encoder/model.js').Model>}
 * @throws {import('../support/errors.js').UserError} what it holds is damaged, or was not vetted, or could do more than compute
 * @throws {EnvironmentProblem} it takes or gives something else than the contract says, or this
 *   TensorFlow does not load it
 */
export async function openSavedModel(bundle) {
  const { directory, remove } = copySavedModel(bundle);
  const { node } = loadLibrary().tfjs;
  try {
    const graphs = await node.getMetaGraphsFromSavedModel(directory);
    const { name, tags } = bundle.contract.signature ?? DEFAULT_SIGNATURE;
    const { signatureDefs } = findGraph(graphs, tags);
    if (!Object.hasOwn(signatureDefs, name)) {
      throw new Error(`got signatures ${Object.keys(signatureDefs).join(', ') || 'none'}, expected ${name}`);
    }
    assertSignatureFits(bundle, signatureDefs[name]);
    const model = await node.loadSavedModel(directory, tags, name);
    return {
      run(feeds, names) {
        const outputs = model.predict(feeds);
        return names.map((output) => outputs[output]);
      },
      kind: 'saved_model',
      dispose: () => model.dispose(),
    };
  } catch (error) {
    const [reason] = /** @type {Error} */ (error).message.replaceAll(directory, 'saved_model').split('\n');
    throw new EnvironmentProblem(`the SavedModel of ${bundle.dir} does not run here: ${reason}`);
  } finally {
    // TensorFlow has read all of it: the graph, the variables, and the tables' files.
    remove();
  }
}

/**
 * The graph with just these tags.
 *
 * @param {{tags: string[], signatureDefs: Record<string, Signature>}[]} graphs
 * @param {string[]} tags
 */
export function findGraph(graphs, tags) {
  const key = (/** @type {string[]} */ some) => JSON.stringify([...some].sort());
  const found = graphs.find((graph) => key(graph.tags) === key(tags));
  if (found === undefined) {
    const got = graphs.map((graph) => `[${graph.tags}]`).join(', ');
    throw new Error(`got graphs with the tags ${got}, expected [${tags}]`);
  }
  return found;
}

/** @param {Bundle} bundle @param {Signature} signature */
function assertSignatureFits({ contract }, signature) {
  for (const side of /** @type {const} */ (['inputs', 'outputs'])) {
    const got = Object.entries(signature[side]).map(([name, { tfDtype }]) => `${name} ${tfDtype}`);
    const expected = contract[side].map(({ name, dtype }) => `${name} ${dtype === 'int32' ? 'DT_INT32' : 'DT_FLOAT'}`);
    if (String(got.sort()) !== String(expected.sort())) {
      throw new Error(`got ${side} ${got.join(', ')}, expected ${expected.join(', ')}`);
    }
  }
}
