/** Reads `model.json` of TF.js, of a bundle or a classifier, and checks the types of all fields that are used. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { UserError } from '../support/errors.js';
import { isObject, parseJson } from '../support/json.js';

/** The file's name, of a bundle and of a classifier. */
export const MODEL_FILE = 'model.json';
/** The most axes that TF.js supports. */
const MAX_AXES = 6;
/** The most numbers of a weight: JavaScript has no larger array. */
const MAX_NUMBERS = 2 ** 32;

/**
 * @typedef {{paths: string[], weights: Weight[]}} WeightGroup
 *
 * @typedef {object} Weight
 * @property {string} name
 * @property {number[]} shape
 * @property {'float32' | 'int32' | 'bool'} dtype
 * @property {Quantization} [quantization] how a float32 is stored in fewer bits
 *
 * @typedef {object} Quantization
 * @property {'float16' | 'uint16' | 'uint8'} dtype
 * @property {number} [scale] of an integer, as is `min`: value = stored · scale + min
 * @property {number} [min]
 *
 * @typedef {{format?: string, modelTopology: any, weightsManifest: WeightGroup[]} & Record<string, any>} ModelJson
 */

/**
 * @param {Uint8Array} bytes
 * @param {string} path for an error
 * @returns {ModelJson}
 * @throws {UserError} the JSON is broken, or a field is missing or has another type
 */
export function parseModelJson(bytes, path) {
  const model = parseJson(bytes, path);
  const refuse = (/** @type {string} */ what) => new UserError(`${path}: ${what}; it is damaged, or not made by this program`);
  if (!isObject(model)) throw refuse('expected a JSON object');
  if (!isObject(model.modelTopology)) throw refuse('expected an object in modelTopology');
  const { weightsManifest: manifest } = model;
  if (!Array.isArray(manifest) || !manifest.every(isGroup)) {
    throw refuse('expected weightsManifest to be groups of `paths` and `weights`');
  }
  const names = new Set();
  for (const weight of manifest.flatMap(({ weights }) => weights)) {
    const problem = findWeightProblem(weight);
    if (problem !== '') throw refuse(`the weight ${JSON.stringify(weight?.name)?.slice(0, 80)} has ${problem}`);
    if (names.has(weight.name)) throw refuse(`two weights are called ${JSON.stringify(weight.name)}`);
    names.add(weight.name);
  }
  return /** @type {ModelJson} */ (model);
}

/**
 * @param {import('./bundle.js').Bundle} bundle
 * @returns {{path: string, model: ModelJson}} `path` for errors
 * @throws {UserError} see `parseModelJson`; or the file is missing or altered
 */
export function readModelJson(bundle) {
  const path = join(bundle.dir, MODEL_FILE);
  return { path, model: parseModelJson(bundle.read(MODEL_FILE), path) };
}

/**
 * All that TF.js loads a model from, in memory.
 *
 * @template {Pick<ModelJson, 'weightsManifest'>} M
 * @param {M} model
 * @param {(path: string) => Uint8Array} read reads a file of weights
 * @returns {Omit<M, 'weightsManifest'> & {weightSpecs: any[], weightData: ArrayBuffer}}
 */
export function buildArtifacts({ weightsManifest, ...model }, read) {
  const files = weightsManifest.flatMap(({ paths }) => paths).map(read);
  return {
    ...model,
    weightSpecs: weightsManifest.flatMap(({ weights }) => weights),
    weightData: new Uint8Array(Buffer.concat(files)).buffer,
  };
}

/**
 * Reads a model that no contract describes, such as one of TF.js's own converter.
 *
 * @param {string} path of its `model.json`; the files of its weights are beside it
 * @throws {UserError} see `parseModelJson`
 */
export function readArtifacts(path) {
  const directory = dirname(path);
  return buildArtifacts(parseModelJson(readFileSync(path), path), (name) => readFileSync(join(directory, name)));
}

/**
 * Runs TF.js on a model. TF.js has no error of its own for a graph that it cannot run; any TypeError
 * or other plain Error means that.
 *
 * @param {string} path of the `model.json`
 * @param {() => T} work what TF.js does with it
 * @returns {T}
 * @throws {UserError} TF.js cannot run the graph
 * @template T
 */
export function withTfjsErrors(path, work) {
  const refuse = (/** @type {any} */ error) => {
    if (error?.exitCode !== undefined || error?.code !== undefined || !(error instanceof Error)) throw error;
    if (error instanceof RangeError && /allocation|Invalid (typed )?array/.test(error.message)) throw error;
    throw new UserError(`${path}: TF.js cannot run it: ${error.message.split('\n')[0]}`);
  };
  try {
    const done = work();
    return done instanceof Promise ? /** @type {T} */ (done.catch(refuse)) : done;
  } catch (error) {
    return refuse(error);
  }
}

/** @param {unknown} group */
function isGroup(group) {
  return (
    isObject(group) &&
    Array.isArray(group.paths) &&
    group.paths.every((path) => typeof path === 'string') &&
    Array.isArray(group.weights)
  );
}

/** @param {unknown} weight @returns {string} what is wrong; empty if it is valid */
function findWeightProblem(weight) {
  if (!isObject(weight)) return 'no fields';
  const { name, shape, dtype, quantization } = weight;
  if (typeof name !== 'string' || name === '') return 'no name';
  const isSize = (/** @type {unknown} */ size) => Number.isSafeInteger(size) && /** @type {number} */ (size) >= 0;
  if (!Array.isArray(shape) || shape.length > MAX_AXES || !shape.every(isSize))
    return `a shape that is no list of at most ${MAX_AXES} sizes`;
  if (shape.reduce((product, size) => product * size, 1) >= MAX_NUMBERS) return 'too large a shape';
  if (typeof dtype !== 'string') return 'no dtype';
  if (quantization === undefined) return '';
  if (!isObject(quantization) || typeof quantization.dtype !== 'string') return 'a quantization without dtype';
  const numbers = [quantization.scale ?? 1, quantization.min ?? 0];
  return numbers.every(Number.isFinite) ? '' : 'a quantization whose scale or min is no number';
}
