/**
 * TF.js. Its packages are CommonJS of up to a megabyte each, and Node searches the source of a
 * CommonJS package that is imported for the names it exports: that takes several times as long
 * as to load it. So they are required, and all of them here.
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
 * A package of TF.js, loaded when it is first asked for.
 *
 * @template {keyof Packages} Name
 * @param {Name} name
 * @returns {Packages[Name]}
 */
export function loadPackage(name) {
  return require(`@tensorflow/tfjs-${name}`);
}

export const tf = loadPackage('core');

// How a backend makes a tensor whose values come piece by piece.

const ARRAY_TYPES = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };

/**
 * @typedef {import('@tensorflow/tfjs-core').Tensor} Tensor
 * @typedef {Float32Array | Int32Array | Uint8Array} TensorValues of float32, int32 or bool
 *
 * @callback MakeTensor
 * @param {number[]} shape
 * @param {keyof ARRAY_TYPES} dtype
 * @param {(values: TensorValues) => void} populate writes all values, row-major; makes no tensor meanwhile
 * @returns {Tensor}
 */

/**
 * The way that every backend takes: the tensor keeps the array, or copies it.
 *
 * @type {MakeTensor}
 */
export function tensorFromArray(shape, dtype, populate) {
  const values = new ARRAY_TYPES[dtype](tf.util.sizeFromShape(shape));
  populate(values);
  return tf.tensor(values, shape, dtype);
}
