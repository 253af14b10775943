/**
 * Loads TF.js. Its packages are CommonJS of up to a megabyte each. When such a package is imported, Node
 * searches its source for exported names, which takes several times as long as loading it. So this
 * file, and no other, requires them.
 */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/**
 * @typedef {object} Packages
 * @property {typeof import('@tensorflow/tfjs-core')} core
 * @property {typeof import('@tensorflow/tfjs-converter')} converter
 * @property {typeof import('@tensorflow/tfjs-layers')} layers
 * @property {typeof import('@tensorflow/tfjs-backend-cpu')} backend-cpu
 * @property {typeof import('@tensorflow/tfjs-backend-wasm')} backend-wasm
 */

/**
 * Loads a package of TF.js at its first use.
 *
 * @template {keyof Packages} Name
 * @param {Name} name
 * @returns {Packages[Name]}
 */
export function loadPackage(name) {
  return require(`@tensorflow/tfjs-${name}`);
}

export const tf = loadPackage('core');

// Making a tensor whose values come piece by piece.

const ARRAY_TYPES = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };

/**
 * @typedef {import('@tensorflow/tfjs-core').Tensor} Tensor
 * @typedef {Float32Array | Int32Array | Uint8Array} TensorValues values of float32, int32 or bool
 *
 * @callback MakeTensor
 * @param {number[]} shape
 * @param {keyof ARRAY_TYPES} dtype
 * @param {(values: TensorValues) => void} populate writes all values, row-major; must not make a tensor
 * @returns {Tensor}
 */

/**
 * Makes a tensor from an array, which the tensor uses or copies. Works on every backend.
 *
 * @type {MakeTensor}
 */
export function tensorFromArray(shape, dtype, populate) {
  const values = new ARRAY_TYPES[dtype](tf.util.sizeFromShape(shape));
  populate(values);
  return tf.tensor(values, shape, dtype);
}
