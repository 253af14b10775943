/** The wasm backend: WebAssembly with SIMD, from the binaries in its npm package. */
import { dirname, sep } from 'node:path';

import { packageFile, requireFrom } from '../support/places.js';
import { loadPackage, tf } from './tfjs.js';

let registered = false;

/** Sets the path of the .wasm files and installs the faster matrix product, once. */
export async function register() {
  if (registered) return;
  const require = requireFrom(packageFile('package.json'));
  loadPackage('backend-wasm').setWasmPaths(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + sep);
  multiplyByXnnpack();
  registered = true;
}

/**
 * Makes a tensor directly in WebAssembly's memory. The array that `populate` receives is invalid when
 * the next tensor is made, since the memory may grow.
 *
 * @type {import('./tensors.js').MakeTensor}
 */
export function makeTensor(shape, dtype, populate) {
  const backend = /** @type {import('@tensorflow/tfjs-backend-wasm').BackendWasm} */ (tf.backend());
  const tensor = tf.engine().makeTensorFromTensorInfo(backend.makeOutput(shape, dtype));
  try {
    populate(backend.typedArrayFromHeap(tensor));
    return tensor;
  } catch (error) {
    tensor.dispose();
    throw error;
  }
}

// Faster matrix products. TF.js's wasm kernel uses XNNPACK only if neither matrix is transposed and the
// batch is 1; all other products run in three plain loops. These are the gradients of every dense
// layer (xᵀ·dy, dy·wᵀ: for 32×312 and 32×512 it takes 6.6 ms, or 0.7 ms if x is transposed first) and
// both products of attention.

const KERNEL = 'BatchMatMul';
const FLOAT_BYTES = 4;

/** @typedef {import('@tensorflow/tfjs-core').TensorInfo} TensorInfo */

/** The arguments of the kernel in C: a, its shape, its rank, b, …, whether each is transposed, out. */
const SIGNATURE = ['number', 'array', 'number', 'number', 'array', 'number', 'number', 'number', 'number'];

/**
 * Wraps the backend's kernel: transposes first, then multiplies the matrices of a batch one by one.
 * Call it once, when the wasm kernels are registered.
 */
export function multiplyByXnnpack() {
  const config = tf.getKernel(KERNEL, 'wasm');
  /** @type {((...args: any[]) => void) | undefined} */
  let multiply;
  tf.unregisterKernel(KERNEL, 'wasm');
  tf.registerKernel({ ...config, kernelFunc });

  /** @param {{inputs: any, backend: any, attrs?: any}} call */
  function kernelFunc({ inputs, backend, attrs }) {
    const { transposeA, transposeB } = attrs;
    const [first, second] = [inputs.a, inputs.b].map(({ shape }) => countMatrices(shape));
    // A broadcast batch goes to the backend's kernel. So does the plain product: for it XNNPACK reuses
    // the packed weights in the next run.
    const plain = first === 1 && !transposeA && !transposeB;
    // Integers too: the backend's kernel refuses them.
    const floats = inputs.a.dtype === 'float32' && inputs.b.dtype === 'float32';
    if (first !== second || first === 0 || plain || !floats) return config.kernelFunc({ inputs, backend, attrs });
    const a = transposeA ? transpose(inputs.a, backend) : inputs.a;
    const b = transposeB ? transpose(inputs.b, backend) : inputs.b;
    multiply ??= /** @type {(...args: any[]) => void} */ (backend.wasm.cwrap(KERNEL, null, SIGNATURE));
    const product = multiplyEach(a, b, first, backend, multiply);
    if (transposeA) backend.disposeData(a.dataId);
    if (transposeB) backend.disposeData(b.dataId);
    return product;
  }
}

/** How many matrices a tensor of this shape has. @param {number[]} shape */
function countMatrices(shape) {
  return tf.util.sizeFromShape(shape.slice(0, -2));
}

/**
 * Multiplies `count` pairs of matrices: float32[…, m, k] and float32[…, k, n] → float32[…, m, n]. The
 * kernel knows tensors by number; each matrix gets a number that points into its tensor, so nothing is
 * copied.
 *
 * @param {TensorInfo} a float32[…, m, k]
 * @param {TensorInfo} b float32[…, k, n]
 * @param {number} count how many matrices each has
 * @param {any} backend the wasm backend
 * @param {(...args: any[]) => void} multiply the kernel in C
 * @returns {TensorInfo} float32[…, m, n]
 */
function multiplyEach(a, b, count, backend, multiply) {
  const [m, k] = a.shape.slice(-2);
  const n = b.shape[b.shape.length - 1];
  const product = backend.makeOutput([...a.shape.slice(0, -1), n], 'float32');
  if (m * k * n === 0) throw new Error(`Expected matrices with elements, got ${a.shape} and ${b.shape}`);
  const offsets = [a, b, product].map(({ dataId }) => backend.dataIdMap.get(dataId).memoryOffset);
  const sizes = [m * k, k * n, m * n];
  const [aShape, bShape] = [
    [1, m, k],
    [1, k, n],
  ].map((shape) => new Uint8Array(new Int32Array(shape).buffer));
  const { registerTensor, disposeData } = backend.wasm.tfjs;
  for (let i = 0; i < count; i += 1) {
    const ids = offsets.map((offset, part) => {
      const id = backend.dataIdNextNumber;
      backend.dataIdNextNumber += 1;
      registerTensor(id, sizes[part], offset + i * sizes[part] * FLOAT_BYTES);
      return id;
    });
    multiply(ids[0], aShape, 3, ids[1], bShape, 3, false, false, ids[2]);
    // This removes the number and what XNNPACK packed for it; the memory belongs to the tensor.
    ids.forEach((id) => disposeData(id));
  }
  return product;
}

/**
 * Swaps the last two axes.
 *
 * @param {TensorInfo} x
 * @param {any} backend
 * @returns {TensorInfo} the caller must dispose of it
 */
function transpose(x, backend) {
  const perm = x.shape.map((_, axis) => axis);
  perm.push(...perm.splice(-2).reverse());
  const { kernelFunc } = tf.getKernel('Transpose', 'wasm');
  return /** @type {TensorInfo} */ (kernelFunc({ inputs: { x }, backend, attrs: { perm } }));
}
