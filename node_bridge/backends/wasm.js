/** WebAssembly with SIMD, from the binaries that its npm package ships. */
import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';

import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';

import { multiplyByXnnpack } from './wasm_matmul.js';

let registered = false;

/** Points TF.js at the .wasm files on disk and mends its slow products; once. */
export async function register() {
  if (registered) return;
  const require = createRequire(import.meta.url);
  setWasmPaths(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + sep);
  multiplyByXnnpack();
  registered = true;
}
