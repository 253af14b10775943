/** Reads the weights of a GraphModel from the files of a bundle, piece by piece. */
import { UserError } from '../support/errors.js';

/**
 * @typedef {import('./bundle.js').Bundle} Bundle
 * @typedef {import('./model_json.js').Weight} Weight
 * @typedef {import('./model_json.js').WeightGroup} WeightGroup
 */

const DTYPES = ['float32', 'int32', 'bool'];
/** The array type in which a float32 is stored in fewer bits. */
export const STORED_ARRAY_TYPES = { float16: Uint16Array, uint16: Uint16Array, uint8: Uint8Array };

/** Bytes of a weight in its file. @param {Weight} weight */
export function computeStoredSize({ shape, dtype, quantization }) {
  const bytes =
    quantization === undefined ? (dtype === 'bool' ? 1 : 4) : STORED_ARRAY_TYPES[quantization.dtype].BYTES_PER_ELEMENT;
  return shape.reduce((product, size) => product * size, bytes);
}

/** The files of all weights, read as if they were one. */
export class WeightFiles {
  #bundle;
  #names;
  /** @type {import('../support/checked_file.js').BundleFile | undefined} */
  #file;

  /**
   * @param {Bundle} bundle
   * @param {WeightGroup[]} manifest `weightsManifest` in its `model.json`
   * @throws {UserError} a dtype is not known, or the files have another size than the weights
   */
  constructor(bundle, manifest) {
    this.#bundle = bundle;
    this.#names = manifest.flatMap(({ paths }) => paths);
    /** All weights in the order of their bytes. */
    this.weights = manifest.flatMap(({ weights }) => weights);
    this.weights.forEach((weight) => assertKnownDtype(weight, bundle));
    this.#assertSize(this.weights.reduce((sum, weight) => sum + computeStoredSize(weight), 0));
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

  /** Checks that all files were read to their end, and so were checked. */
  expectEnd() {
    if (this.#names.length > 0 || this.#file?.remaining) this.#refuse('more');
  }

  close() {
    this.#file?.close();
  }

  /** Checks the size of all files before memory for the weights is allocated. @param {number} size in bytes */
  #assertSize(size) {
    // If the contract does not list a file, reading it gives an error that names it.
    if (!this.#names.every((name) => this.#bundle.has(name))) return;
    const sum = this.#names.reduce((all, name) => all + this.#bundle.contract.files[name].size, 0);
    if (sum !== size) this.#refuse(sum < size ? 'less' : 'more');
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
