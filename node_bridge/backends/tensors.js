/**
 * Makes a tensor whose values come piece by piece. Apart from tfjs.js, since the type declarations of the
 * package come here: through that file they would reach all of TF.js's, which do not compile by themselves.
 */
import { tf } from './tfjs.js';

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
