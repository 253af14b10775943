/**
 * Opens the model of a bundle, which takes and returns tensors by name. There are two kinds: the
 * GraphModel runs on every backend; the SavedModel that it was made from runs on TensorFlow, if the
 * bundle has it.
 */
import { loadPackage, tf } from '../backends/tfjs.js';
import { readModelJson, withTfjsErrors } from '../bundle/model_json.js';
import { hasSavedModel } from '../bundle/saved_model/checked_copy.js';
import { STORED_ARRAY_TYPES, WeightFiles } from '../bundle/weight_files.js';
import { EnvironmentProblem } from '../support/errors.js';
import { asBytes } from '../support/safetensors.js';

/**
 * @typedef {import('@tensorflow/tfjs-core').Tensor} Tensor
 *
 * @typedef {object} Model
 * @property {(feeds: Record<string, Tensor>, names: string[]) => Tensor[]} run returns outputs in the
 *   order of `names`; feeds are int32, with the names and shapes of the contract
 * @property {'graph_model' | 'saved_model'} kind a GraphModel returns any node by name
 * @property {() => void} dispose frees the weights
 */

/**
 * @param {import('../bundle/bundle.js').Bundle} bundle
 * @param {import('../backends/index.js').Backend} backend the current one
 * @returns {Promise<{model: Model, notice: string}>} `notice`: why the SavedModel is not used; may be empty
 * @throws {import('../support/errors.js').UserError} a file is damaged, or the SavedModel may not be loaded
 */
export async function openModel(bundle, { openSavedModel, makeTensor }) {
  if (openSavedModel === undefined) return { model: await openGraphModel(bundle, makeTensor), notice: '' };
  if (!hasSavedModel(bundle)) {
    const notice = 'the bundle was not exported --with-saved-model, which runs faster there';
    return { model: await openGraphModel(bundle, makeTensor), notice };
  }
  try {
    return { model: await openSavedModel(bundle), notice: '' };
  } catch (error) {
    if (!(error instanceof EnvironmentProblem)) throw error;
    const notice = `warning: ${error.message}; its GraphModel is run instead, which is slower`;
    return { model: await openGraphModel(bundle, makeTensor), notice };
  }
}

/**
 * @param {import('../bundle/bundle.js').Bundle} bundle
 * @param {import('../backends/tensors.js').MakeTensor} makeTensor of the current backend
 * @returns {Promise<Model>}
 * @throws {import('../support/errors.js').UserError} a file is damaged, or TF.js cannot run the graph
 */
async function openGraphModel(bundle, makeTensor) {
  const { path, model: document } = readModelJson(bundle);
  const { weightsManifest, ...artifacts } = document;
  // TF.js itself would have the weights three times in memory: as files, as decoded values and as tensors.
  const decodeWeights = () => readWeights(bundle, weightsManifest, makeTensor);
  const model = await withTfjsErrors(path, () =>
    loadPackage('converter').loadGraphModel({ load: async () => artifacts }, {}, { ...tf.io, decodeWeights }),
  );
  return {
    run(feeds, names) {
      const outputs = withTfjsErrors(path, () => model.execute(feeds, names));
      return Array.isArray(outputs) ? outputs : [outputs];
    },
    kind: 'graph_model',
    dispose: () => model.dispose(),
  };
}

// Reading the weights of a GraphModel from files directly into tensors. Only a piece of a file is in
// memory, and no tensor is returned before every file is checked.

/**
 * @typedef {import('../bundle/bundle.js').Bundle} Bundle
 * @typedef {import('../bundle/model_json.js').WeightGroup} Group
 * @typedef {import('../bundle/model_json.js').Weight} Weight
 * @typedef {import('../bundle/model_json.js').Quantization} Stored
 * @typedef {import('../backends/tensors.js').MakeTensor} MakeTensor
 * @typedef {import('../backends/tensors.js').TensorValues} Values
 * @typedef {Record<string, Tensor>} Tensors by name
 */

/** How many values are converted at a time. */
const CHUNK_VALUES = 2 ** 16;

/**
 * @param {Bundle} bundle
 * @param {Group[]} manifest `weightsManifest` in its `model.json`
 * @param {MakeTensor} makeTensor of the current backend
 * @returns {Tensors}
 * @throws {UserError} a file is damaged, or the files do not fit the manifest
 */
export function readWeights(bundle, manifest, makeTensor) {
  const files = new WeightFiles(bundle, manifest);
  /** @type {Tensors} */
  const tensors = {};
  try {
    for (const weight of files.weights) {
      tensors[weight.name] = makeTensor(weight.shape, weight.dtype, (values) => readWeight(weight, values, files));
    }
    files.expectEnd();
    return tensors;
  } catch (error) {
    tf.dispose(tensors);
    throw error;
  } finally {
    files.close();
  }
}

/** @param {Weight} weight @param {Values} values receives them @param {WeightFiles} files */
function readWeight({ quantization }, values, files) {
  if (quantization === undefined) {
    files.readInto(asBytes(values));
    return;
  }
  const stored = new STORED_ARRAY_TYPES[quantization.dtype](Math.min(values.length, CHUNK_VALUES));
  const widen = createDequantizer(quantization);
  for (let at = 0; at < values.length; at += CHUNK_VALUES) {
    const piece = stored.subarray(0, values.length - at);
    files.readInto(asBytes(piece));
    for (let i = 0; i < piece.length; i += 1) values[at + i] = widen(piece[i]);
  }
}

/** @param {Stored} stored @returns {(stored: number) => number} */
function createDequantizer({ dtype, scale = 1, min = 0 }) {
  return dtype === 'float16' ? halfToSingle : (stored) => stored * scale + min;
}

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);

/**
 * Converts a float16 number. Its bits, shifted into a float32, give the number with an exponent that is
 * 112 too small; this is true for subnormal numbers too.
 *
 * @param {number} half 16 bits
 */
function halfToSingle(half) {
  bits[0] = (half & 0x7fff) << 13;
  let value = single[0] * 2 ** 112;
  if (value >= 2 ** 16) value = (half & 0x3ff) === 0 ? Infinity : NaN;
  return half & 0x8000 ? -value : value;
}
