/** WebAssembly with SIMD, from the binaries that its npm package ships. */
import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';

import { load, tf } from '../tfjs.js';
import { multiplyByXnnpack } from './wasm_matmul.js';

let registered = false;

/** Points TF.js at the .wasm files on disk and mends its slow products; once. */
export async function register() {
  if (registered) return;
  const require = createRequire(import.meta.url);
  load('backend-wasm').setWasmPaths(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + sep);
  multiplyByXnnpack();
  registered = true;
}

/**
 * A tensor that is filled where it lies, in WebAssembly's memory. Its values are no longer valid
 * when the next one is made, as the memory may grow.
 *
 * @type {import('./tensors.js').MakeTensor}
 */
export function makeTensor(shape, dtype, fill) {
  const backend = /** @type {import('@tensorflow/tfjs-backend-wasm').BackendWasm} */ (tf.backend());
  const tensor = tf.engine().makeTensorFromTensorInfo(backend.makeOutput(shape, dtype));
  try {
    fill(backend.typedArrayFromHeap(tensor));
    return tensor;
  } catch (error) {
    tensor.dispose();
    throw error;
  }
}
