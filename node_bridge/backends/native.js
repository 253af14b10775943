/**
 * The native backend: TensorFlow in this process. With `nox -s native` it is the same library that
 * Python uses. A SavedModel runs in a session of TensorFlow, anything else kernel by kernel.
 */
import { copySavedModel } from '../bundle/saved_model/checked_copy.js';
import { EnvironmentProblem } from '../support/errors.js';
import { tensorFromArray } from './tensors.js';
import { tf } from './tfjs.js';
import { loadTfjsNode } from './tfjs_node.js';

/** @type {import('./tfjs_node.js').TfjsNode | undefined} */
let loaded;

/**
 * Loads the library, once, and checks that it can multiply.
 *
 * @returns {import('./tfjs_node.js').TfjsNode}
 * @throws {EnvironmentProblem} the library is missing or does not work
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

/** @throws {EnvironmentProblem} see `loadLibrary` */
export async function register() {
  loadLibrary();
}

/** The version of TensorFlow. */
export function version() {
  return `TensorFlow ${loadLibrary().tensorflow}`;
}

/**
 * Makes a tensor and passes its values to TensorFlow at once. tfjs-node itself would pass them at the
 * first use, and would have all weights twice in memory during the first run.
 *
 * @type {import('./tensors.js').MakeTensor}
 */
export function makeTensor(shape, dtype, populate) {
  const tensor = tensorFromArray(shape, dtype, populate);
  /** @type {any} */ (tf.backend()).getInputTensorIds([tensor]);
  return tensor;
}

// A bundle's SavedModel in a session of TensorFlow: the whole graph in one call, as in Python.

/** For bundles whose contract has no signature. */
const DEFAULT_SIGNATURE = { name: 'serving_default', tags: ['serve'] };

/**
 * @typedef {import('../bundle/bundle.js').Bundle} Bundle
 * @typedef {Record<string, {tfDtype: string}>} Endpoints by name
 * @typedef {{inputs: Endpoints, outputs: Endpoints}} Signature
 */

/**
 * @param {Bundle} bundle one that has a SavedModel
 * @returns {Promise<import('../encoder/model.js').Model>}
 * @throws {import('../support/errors.js').UserError} the SavedModel is damaged, was not vetted, or could do more than compute
 * @throws {EnvironmentProblem} its inputs or outputs are not those of the contract, or this TensorFlow
 *   cannot load it
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
    // TensorFlow has read everything by now: the graph, the variables, and the files of the tables.
    remove();
  }
}

/**
 * Finds the graph with exactly these tags.
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
