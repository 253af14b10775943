/** WebAssembly with SIMD, from the binaries that its npm package ships. */
import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';

import { loadPackage, tf } from './tfjs.js';

let registered = false;

/** Points TF.js at the .wasm files on disk and mends its slow products; once. */
export async function register() {
  if (registered) return;
  const require = createRequire(import.meta.url);
  loadPackage('backend-wasm').setWasmPaths(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + sep);
  multiplyByXnnpack();
  registered = true;
}

/**
 * A tensor that is filled where it lies, in WebAssembly's memory. Its values are no longer valid
 * when the next one is made, as the memory may grow.
 *
 * @type {import('./tfjs.js').MakeTensor}
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

// Matrix products on wasm, without the slow path. TF.js's wasm kernel hands a product to XNNPACK
// only where neither side is transposed and there is a batch of one; all others run through three
// plain loops. Those are the gradients of every dense layer (xᵀ·dy, dy·wᵀ: for 32×312 and 32×512,
// 6.6 ms, and 0.7 ms when x is transposed first) and both products of attention.

const KERNEL = 'BatchMatMul';
const FLOAT_BYTES = 4;

/** @typedef {import('@tensorflow/tfjs-core').TensorInfo} TensorInfo */

/** What the C side of the kernel takes: a, its shape, its rank, b, …, transposed or not, out. */
const SIGNATURE = ['number', 'array', 'number', 'number', 'array', 'number', 'number', 'number', 'number'];

/**
 * Wraps the backend's own kernel: transposes first, then multiplies the matrices of a batch one
 * by one. Call once, when the wasm kernels are registered.
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
    // A batch that is broadcast keeps the backend's own path. So does the plain product, for which
    // XNNPACK keeps the packed weights from one run to the next.
    const plain = first === 1 && !transposeA && !transposeB;
    // Integers too: the backend's own kernel refuses them.
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

/** How many matrices a tensor of this shape holds. @param {number[]} shape */
function countMatrices(shape) {
  return tf.util.sizeFromShape(shape.slice(0, -2));
}

/**
 * The products of `count` pairs of matrices: float32[…, m, k] and float32[…, k, n] →
 * float32[…, m, n]. The C side knows tensors by number; each matrix gets a number of its own
 * that points into the tensor it is part of, so that nothing is copied.
 *
 * @param {TensorInfo} a
 * @param {TensorInfo} b
 * @param {number} count
 * @param {any} backend
 * @param {(...args: any[]) => void} multiply
 * @returns {TensorInfo}
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
    // This forgets the number and what XNNPACK packed for it; the memory is the tensor's.
    ids.forEach((id) => disposeData(id));
  }
  return product;
}

/**
 * The last two axes exchanged.
 *
 * @param {TensorInfo} x
 * @param {any} backend
 * @returns {TensorInfo} for the caller to dispose of
 */
function transpose(x, backend) {
  const perm = x.shape.map((_, axis) => axis);
  perm.push(...perm.splice(-2).reverse());
  const { kernelFunc } = tf.getKernel('Transpose', 'wasm');
  return /** @type {TensorInfo} */ (kernelFunc({ inputs: { x }, backend, attrs: { perm } }));
}
