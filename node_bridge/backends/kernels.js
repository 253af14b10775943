/**
 * Prints which kernels each backend has, as JSON: the exporter's preflight reads them from
 * export/graph/kernels.json, so that it needs no Node.
 *
 *     node node_bridge/backends/kernels.js > export/graph/kernels.json
 */
import { useBackend } from './index.js';
import { tf } from './tfjs.js';

/** @type {Record<string, string[]>} */
const kernels = {};
for (const name of ['cpu', 'wasm']) {
  await useBackend(name);
  kernels[name] = tf
    .getKernelsForBackend(name)
    .map(({ kernelName }) => kernelName)
    .sort();
}
process.stdout.write(`${JSON.stringify({ tfjs: tf.version_core, kernels }, null, 1)}\n`);
