/** WebAssembly with SIMD, from the binaries that its npm package ships. */
import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';

import { load } from '../tfjs.js';
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
