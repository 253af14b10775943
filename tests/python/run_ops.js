/**
 * Runs cases of single ops in a TF.js GraphModel, one by one, for test_kernels.py.
 *
 *     node tests/python/run_ops.js DIRECTORY BACKEND RESULTS.json
 *
 * Cases whose result is in RESULTS.json are skipped. A case that breaks WebAssembly, or may break it
 * (`alone`), ends the process with code 7 after its result was written; the next process continues
 * after it.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { useBackend } from '../../node_bridge/backends/index.js';
import { loadPackage, tf } from '../../node_bridge/backends/tfjs.js';

const BROKEN = 7;
const SPECIAL = { nan: NaN, inf: Infinity, '-inf': -Infinity };
const [directory, backend, file] = process.argv.slice(2);

/** @type {Record<string, any>} */
const results = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
let current = '';

/** @param {any} error */
function stop(error) {
  results[current] = { error: String(error.message ?? error).split('\n')[0] };
  leave(BROKEN);
}

/** @param {number} code */
function leave(code) {
  writeFileSync(file, JSON.stringify(results));
  process.exit(code);
}
process.on('uncaughtException', stop);
process.on('unhandledRejection', stop);
console.warn = () => {};

await useBackend(backend);
const document = JSON.parse(readFileSync(join(directory, 'model.json'), 'utf8'));
/** @type {{paths: string[], weights: any[]}[]} */
const manifest = document.weightsManifest;
const whole = Buffer.concat(manifest.flatMap(({ paths }) => paths).map((path) => readFileSync(join(directory, path))));
const model = await loadPackage('converter').loadGraphModel({
  load: async () => ({
    ...document,
    weightSpecs: manifest.flatMap(({ weights }) => weights),
    weightData: Uint8Array.from(whole).buffer,
  }),
});
/** @type {{output: string, alone: boolean, inputs: {name: string, dtype: 'float32', shape: number[], values: any[]}[]}[]} */
const cases = JSON.parse(readFileSync(join(directory, 'cases.json'), 'utf8'));
for (const { output, inputs, alone } of cases.filter((one) => !(one.output in results))) {
  current = output;
  try {
    const feeds = Object.fromEntries(
      inputs.map(({ name, dtype, shape, values }) => [name, tf.tensor(values.map(toNumber), shape, dtype)]),
    );
    const [tensor] = [await model.executeAsync(feeds, output)].flat();
    const values = Array.from(/** @type {any} */ (await tensor.data())).map(toText);
    results[output] = { dtype: tensor.dtype, shape: tensor.shape, values };
    if (alone) leave(BROKEN);
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    if (/Aborted|unreachable|memory access/.test(message)) stop(error);
    results[output] = { error: message.split('\n')[0] };
  }
}
leave(0);

/** @param {any} value */
function toNumber(value) {
  return SPECIAL[/** @type {keyof typeof SPECIAL} */ (value)] ?? value;
}

/** JSON has no NaN and no infinities. @param {any} value */
function toText(value) {
  if (typeof value !== 'number') return Number(value);
  return Number.isFinite(value) ? value : Object.keys(SPECIAL).find((key) => Object.is(toNumber(key), value));
}
