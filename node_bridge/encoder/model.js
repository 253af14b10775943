/**
 * Opens the model of a bundle, which takes and returns tensors by name. There are two kinds: the
 * GraphModel runs on every backend; the SavedModel that it was made from runs on TensorFlow, if the
 * bundle has it.
 */
import { join } from 'node:path';

import { loadPackage, tf } from '../backends/tfjs.js';
import { withTfjsErrors, parseModelJson } from '../bundle/model_json.js';
import { hasSavedModel } from '../bundle/saved_model/checked_copy.js';
import { EnvironmentProblem, UserError } from '../support/errors.js';

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
  const path = join(bundle.dir, 'model.json');
  const { weightsManifest, ...artifacts } = parseModelJson(bundle.read('model.json'), path);
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

const DTYPES = ['float32', 'int32', 'bool'];
const STORED_ARRAY_TYPES = { float16: Uint16Array, uint16: Uint16Array, uint8: Uint8Array };

/**
 * @param {Bundle} bundle
 * @param {Group[]} manifest `weightsManifest` in its `model.json`
 * @param {MakeTensor} makeTensor of the current backend
 * @returns {Tensors}
 * @throws {UserError} a file is damaged, or the files do not fit the manifest
 */
export function readWeights(bundle, manifest, makeTensor) {
  const files = new WeightFiles(
    bundle,
    manifest.flatMap(({ paths }) => paths),
  );
  const weights = manifest.flatMap((group) => group.weights);
  weights.forEach((weight) => assertKnownDtype(weight, bundle));
  files.expectSize(weights.reduce((sum, weight) => sum + computeStoredSize(weight), 0));
  /** @type {Tensors} */
  const tensors = {};
  try {
    for (const weight of weights) {
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

/** @param {Weight} weight @param {Bundle} bundle */
function assertKnownDtype({ name, dtype, quantization }, { dir }) {
  const known =
    quantization === undefined
      ? DTYPES.includes(dtype)
      : dtype === 'float32' && Object.hasOwn(STORED_ARRAY_TYPES, quantization.dtype);
  if (known) return;
  const got = quantization === undefined ? dtype : `${dtype} stored as ${quantization.dtype}`;
  throw new UserError(
    `${dir}: got ${name} in ${got}, expected ${DTYPES.join(', ')}, or float32 stored as ` +
      `${Object.keys(STORED_ARRAY_TYPES).join(', ')}; export the bundle again`,
  );
}

/** Bytes of a weight in its file. @param {Weight} weight */
function computeStoredSize({ shape, dtype, quantization }) {
  const bytes =
    quantization === undefined ? (dtype === 'bool' ? 1 : 4) : STORED_ARRAY_TYPES[quantization.dtype].BYTES_PER_ELEMENT;
  return shape.reduce((product, size) => product * size, bytes);
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

/** @param {Values | Uint16Array} values */
function asBytes(values) {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Reads several files of a bundle as if they were one. */
class WeightFiles {
  #bundle;
  #names;
  /** @type {import('../support/checked_file.js').BundleFile | undefined} */
  #file;

  /** @param {Bundle} bundle @param {string[]} names in order */
  constructor(bundle, names) {
    this.#bundle = bundle;
    this.#names = names;
  }

  /** @param {Uint8Array} bytes receives the next bytes */
  readInto(bytes) {
    for (let done = 0; done < bytes.length; ) {
      const file = this.#current();
      const piece = bytes.subarray(done, done + file.remaining);
      file.readInto(piece);
      done += piece.length;
    }
  }

  /** Checks the size of all files before memory for the tensors is allocated. @param {number} size in bytes */
  expectSize(size) {
    // If the contract does not list a file, reading it gives an error that names it.
    if (!this.#names.every((name) => this.#bundle.has(name))) return;
    const sum = this.#names.reduce((all, name) => all + this.#bundle.contract.files[name].size, 0);
    if (sum !== size) this.#refuse(sum < size ? 'less' : 'more');
  }

  /** Checks that all files were read to their end, and so were checked. */
  expectEnd() {
    if (this.#names.length > 0 || this.#file?.remaining) this.#refuse('more');
  }

  close() {
    this.#file?.close();
  }

  #current() {
    while (!this.#file?.remaining) {
      const name = this.#names.shift() ?? this.#refuse('less');
      this.#file = this.#bundle.file(name);
    }
    return this.#file;
  }

  /** @param {string} amount @returns {never} */
  #refuse(amount) {
    throw new UserError(
      `${this.#bundle.dir}: the files of the weights hold ${amount} than model.json says; export the bundle again`,
    );
  }
}
