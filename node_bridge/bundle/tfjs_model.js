/** `model.json` of TF.js, of a bundle or of a classifier: all of it that is used has its type before it is. */
import { tf } from '../backends/tfjs.js';
import { UserError } from '../support/errors.js';
import { isObject, parseJson } from '../support/json.js';

/** Axes that TF.js has. */
const MOST_AXES = 6;
/** Numbers of a weight: more is no array of JavaScript's. */
const MOST_NUMBERS = 2 ** 32;

/**
 * @typedef {{format?: string, modelTopology: any, weightsManifest: Group[]} & Record<string, any>} ModelJson
 */

/**
 * @param {Uint8Array} bytes
 * @param {string} path for an error
 * @returns {ModelJson}
 * @throws {UserError} broken JSON, or a field that is missing or of another type
 */
export function parseModel(bytes, path) {
  const model = parseJson(bytes, path);
  const refuse = (/** @type {string} */ what) => new UserError(`${path}: ${what}; it is damaged, or not made by this program`);
  if (!isObject(model)) throw refuse('expected a JSON object');
  if (!isObject(model.modelTopology)) throw refuse('expected an object in modelTopology');
  const { weightsManifest: manifest } = model;
  if (!Array.isArray(manifest) || !manifest.every(isGroup)) {
    throw refuse('expected weightsManifest to be groups of `paths` and `weights`');
  }
  const names = new Set();
  for (const weight of manifest.flatMap(({ weights }) => weights)) {
    const problem = problemOf(weight);
    if (problem !== '') throw refuse(`the weight ${JSON.stringify(weight?.name)?.slice(0, 80)} has ${problem}`);
    if (names.has(weight.name)) throw refuse(`two weights are called ${JSON.stringify(weight.name)}`);
    names.add(weight.name);
  }
  return /** @type {ModelJson} */ (model);
}

/**
 * @param {string} path of the `model.json`
 * @param {() => T} work that TF.js does with it
 * @returns {T}
 * @throws {UserError} whatever TF.js says of a graph that it cannot take: it has no words of its own
 *   for that, and stumbles
 * @template T
 */
export function asUserError(path, work) {
  const refuse = (/** @type {any} */ error) => {
    if (error?.exitCode !== undefined || error?.code !== undefined || !(error instanceof Error)) throw error;
    if (error instanceof RangeError && /allocation|Invalid (typed )?array/.test(error.message)) throw error;
    throw new UserError(`${path}: TF.js cannot run it: ${error.message.split('\n')[0]}`);
  };
  try {
    const done = work();
    return done instanceof Promise ? /** @type {T} */ (done.catch(refuse)) : done;
  } catch (error) {
    return refuse(error);
  }
}

/** @param {unknown} group */
function isGroup(group) {
  return (
    isObject(group) &&
    Array.isArray(group.paths) &&
    group.paths.every((path) => typeof path === 'string') &&
    Array.isArray(group.weights)
  );
}

/** @param {unknown} weight @returns {string} '' where there is none */
function problemOf(weight) {
  if (!isObject(weight)) return 'no fields';
  const { name, shape, dtype, quantization } = weight;
  if (typeof name !== 'string' || name === '') return 'no name';
  const isSize = (/** @type {unknown} */ size) => Number.isSafeInteger(size) && /** @type {number} */ (size) >= 0;
  if (!Array.isArray(shape) || shape.length > MOST_AXES || !shape.every(isSize))
    return `a shape that is no list of at most ${MOST_AXES} sizes`;
  if (shape.reduce((product, size) => product * size, 1) >= MOST_NUMBERS) return 'too large a shape';
  if (typeof dtype !== 'string') return 'no dtype';
  if (quantization === undefined) return '';
  if (!isObject(quantization) || typeof quantization.dtype !== 'string') return 'a quantization without dtype';
  const numbers = [quantization.scale ?? 1, quantization.min ?? 0];
  return numbers.every(Number.isFinite) ? '' : 'a quantization whose scale or min is no number';
}

// The weights of a GraphModel, from a bundle's files straight into tensors: of a file no more is
// in memory than a piece, and no tensor is given away before every file has proved intact.

/**
 * @typedef {import('./bundle.js').Bundle} Bundle
 * @typedef {import('../backends/tfjs.js').MakeTensor} MakeTensor
 * @typedef {import('../backends/tfjs.js').Values} Values
 * @typedef {Record<string, import('../encoder/model.js').Tensor>} Tensors by name
 * @typedef {{paths: string[], weights: Weight[]}} Group
 *
 * @typedef {object} Weight
 * @property {string} name
 * @property {number[]} shape
 * @property {'float32' | 'int32' | 'bool'} dtype
 * @property {Stored} [quantization] how a float32 is stored, where that is in fewer bits
 *
 * @typedef {object} Stored
 * @property {'float16' | 'uint16' | 'uint8'} dtype
 * @property {number} [scale] of integers, as is `min`: the value is stored · scale + min
 * @property {number} [min]
 */

/** Values that are widened at a time. */
const PIECE = 2 ** 16;

const DTYPES = ['float32', 'int32', 'bool'];
const STORED = { float16: Uint16Array, uint16: Uint16Array, uint8: Uint8Array };

/**
 * @param {Bundle} bundle
 * @param {Group[]} manifest `weightsManifest` in its `model.json`
 * @param {MakeTensor} makeTensor of the current backend
 * @returns {Tensors}
 * @throws {UserError} a damaged file, or files that are not what the manifest says
 */
export function readWeights(bundle, manifest, makeTensor) {
  const files = new Files(
    bundle,
    manifest.flatMap(({ paths }) => paths),
  );
  const weights = manifest.flatMap((group) => group.weights);
  weights.forEach((weight) => assertKnown(weight, bundle));
  files.expectSize(weights.reduce((sum, weight) => sum + storedSize(weight), 0));
  /** @type {Tensors} */
  const tensors = {};
  try {
    for (const weight of weights) {
      tensors[weight.name] = makeTensor(weight.shape, weight.dtype, (values) => read(weight, values, files));
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
function assertKnown({ name, dtype, quantization }, { dir }) {
  const known =
    quantization === undefined ? DTYPES.includes(dtype) : dtype === 'float32' && Object.hasOwn(STORED, quantization.dtype);
  if (known) return;
  const got = quantization === undefined ? dtype : `${dtype} stored as ${quantization.dtype}`;
  throw new UserError(
    `${dir}: got ${name} in ${got}, expected ${DTYPES.join(', ')}, or float32 stored as ` +
      `${Object.keys(STORED).join(', ')}; export the bundle again`,
  );
}

/** Bytes of a weight in its file. @param {Weight} weight */
function storedSize({ shape, dtype, quantization }) {
  const bytes = quantization === undefined ? (dtype === 'bool' ? 1 : 4) : STORED[quantization.dtype].BYTES_PER_ELEMENT;
  return shape.reduce((product, size) => product * size, bytes);
}

/** @param {Weight} weight @param {Values} values to be filled @param {Files} files */
function read({ quantization }, values, files) {
  if (quantization === undefined) {
    files.fill(bytesOf(values));
    return;
  }
  const stored = new STORED[quantization.dtype](Math.min(values.length, PIECE));
  const widen = widening(quantization);
  for (let at = 0; at < values.length; at += PIECE) {
    const piece = stored.subarray(0, values.length - at);
    files.fill(bytesOf(piece));
    for (let i = 0; i < piece.length; i += 1) values[at + i] = widen(piece[i]);
  }
}

/** @param {Stored} stored @returns {(stored: number) => number} */
function widening({ dtype, scale = 1, min = 0 }) {
  return dtype === 'float16' ? halfToSingle : (stored) => stored * scale + min;
}

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);

/**
 * The number that a float16 stands for: its bits in the places of a float32 give it with an
 * exponent that is 112 too small, which holds for subnormal numbers too.
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
function bytesOf(values) {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Some files of a bundle as if they were one. */
class Files {
  #bundle;
  #names;
  /** @type {import('./checked_file.js').BundleFile | undefined} */
  #file;

  /** @param {Bundle} bundle @param {string[]} names in order */
  constructor(bundle, names) {
    this.#bundle = bundle;
    this.#names = names;
  }

  /** @param {Uint8Array} bytes filled with what comes next */
  fill(bytes) {
    for (let done = 0; done < bytes.length; ) {
      const file = this.#current();
      const piece = bytes.subarray(done, done + file.left);
      file.fill(piece);
      done += piece.length;
    }
  }

  /** Before memory is taken for a shape that no file fills. @param {number} size in bytes */
  expectSize(size) {
    // A file that the contract does not list is refused, by its name, when it is read.
    if (!this.#names.every((name) => this.#bundle.has(name))) return;
    const sum = this.#names.reduce((all, name) => all + this.#bundle.contract.files[name].size, 0);
    if (sum !== size) this.#refuse(sum < size ? 'less' : 'more');
  }

  /** All has been read, and so has been checked. */
  expectEnd() {
    if (this.#names.length > 0 || this.#file?.left) this.#refuse('more');
  }

  close() {
    this.#file?.close();
  }

  #current() {
    while (!this.#file?.left) {
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
