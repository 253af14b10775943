/** How a backend makes a tensor whose values come piece by piece. */
import { tf } from '../tfjs.js';

const ARRAYS = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };

/**
 * @typedef {import('@tensorflow/tfjs-core').Tensor} Tensor
 * @typedef {Float32Array | Int32Array | Uint8Array} Values of float32, int32 or bool
 *
 * @callback MakeTensor
 * @param {number[]} shape
 * @param {keyof ARRAYS} dtype
 * @param {(values: Values) => void} fill writes all values, row-major; makes no tensor meanwhile
 * @returns {Tensor}
 */

/**
 * The way that every backend takes: the tensor keeps the array, or copies it.
 *
 * @type {MakeTensor}
 */
export function fromArray(shape, dtype, fill) {
  const values = new ARRAYS[dtype](tf.util.sizeFromShape(shape));
  fill(values);
  return tf.tensor(values, shape, dtype);
}
