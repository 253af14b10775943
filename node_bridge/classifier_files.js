/**
 * The directory of a classifier: `model.json` and `weights.bin` (a TF.js LayersModel), and
 * `classifier.json`, which says what the model alone cannot: its labels, its bundle, how texts
 * are made into its input.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { assertWritable, writeDirectory } from './directory.js';
import { UserError } from './errors.js';
import { readInput } from './input_file.js';
import { parseModel } from './model_json.js';
import { assertSigned } from './signature.js';

const DESCRIPTION = 'classifier.json';
const FORMAT = 'bert-bridge-classifier';
const VERSION = 1;
/** Bytes of its files: a head of 10,000 labels has 20 MB. */
const LARGEST = 2 ** 28;

/**
 * @typedef {import('@tensorflow/tfjs-core').io.ModelArtifacts} ModelArtifacts
 * @typedef {object} Golden a text, or `sentence1` and `sentence2`, the label and all probabilities
 * @property {string} [text]
 * @property {string} [sentence1]
 * @property {string} [sentence2]
 * @property {string} label
 * @property {number[]} probabilities in the order of the labels
 * @typedef {object} Description
 * @property {string} format always `bert-bridge-classifier`
 * @property {number} version
 * @property {string[]} labels in the order of the probabilities
 * @property {'single' | 'pair'} task
 * @property {string} head one of HEADS: `dense`, `bilstm`, `linear`
 * @property {number} max_length positions a text is cut to, [CLS] and [SEP] counted
 * @property {'added'} special_tokens [CLS] and [SEP] were added
 * @property {import('./features.js').Pooling} pooling what of `sequence_output` the head takes
 * @property {{hash: string, dir: string}} bundle the only one it works with; `dir` is where it
 *   was, relative to the classifier
 * @property {string} backend
 * @property {number} seed
 * @property {number} epochs that were trained
 * @property {number} best_epoch whose weights these are, from 1
 * @property {number} batch_size
 * @property {number} learning_rate of the first epoch
 * @property {string} schedule of the learning rate
 * @property {number[]} class_weights in the order of the labels
 * @property {string} best_by `accuracy` or `macro-f1`: by what that epoch is the best
 * @property {number} dev_accuracy
 * @property {number} dev_macro_f1
 * @property {Golden[]} [golden] what it said of the bundle's golden texts at the end of training
 * @property {{settings: string, data: string}} [trained_with] sha256 of what was asked for, and of
 *   texts and labels
 * @property {Record<string, {sha256: string, size: number}>} files
 */

/**
 * @param {string} dir where a classifier is to go
 * @returns {boolean} whether a finished one is there
 * @throws {UserError} `dir` is something else
 */
export function isClassifierIn(dir) {
  assertWritable(dir, DESCRIPTION);
  return existsSync(join(dir, DESCRIPTION));
}

/**
 * @param {string} dir
 * @param {ModelArtifacts} artifacts
 * @param {Omit<Description, 'format' | 'version' | 'files'>} details
 * @param {Record<string, string>} [beside] other files to put there, by name
 */
export function writeClassifier(dir, { modelTopology, weightSpecs, weightData }, details, beside = {}) {
  const model = {
    format: 'layers-model',
    generatedBy: 'bert-bridge',
    convertedBy: null,
    modelTopology,
    weightsManifest: [{ paths: ['weights.bin'], weights: weightSpecs }],
  };
  const parts = [weightData ?? []].flat().map((part) => new Uint8Array(part));
  const files = {
    'model.json': Buffer.from(`${JSON.stringify(model)}\n`),
    'weights.bin': Buffer.concat(parts),
  };
  const sums = Object.entries(files).map(([name, bytes]) => [name, { sha256: sha256(bytes), size: bytes.length }]);
  const description = { format: FORMAT, version: VERSION, ...details, files: Object.fromEntries(sums) };
  writeDirectory(dir, { ...beside, ...files, [DESCRIPTION]: `${JSON.stringify(description, null, 2)}\n` }, DESCRIPTION);
}

/**
 * @param {string} dir
 * @param {string} [trustedKeys] public keys, see `assertSigned`
 * @returns {Description}
 * @throws {UserError} not a classifier, one of another release, or not signed by these keys
 */
export function readDescription(dir, trustedKeys) {
  const path = join(dir, DESCRIPTION);
  let description;
  try {
    const text = read(dir, DESCRIPTION);
    if (trustedKeys !== undefined) assertSigned(dir, DESCRIPTION, text, trustedKeys);
    description = JSON.parse(text.toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw new UserError(`${path} is not JSON; train the classifier again`);
    throw error;
  }
  if (description?.format !== FORMAT || description.version !== VERSION) {
    const got = JSON.stringify([description?.format, description?.version]);
    throw new UserError(`${path}: got format and version ${got}, expected ["${FORMAT}",${VERSION}]; train it again`);
  }
  return description;
}

/**
 * A classifier whose files have been checked.
 *
 * @param {string} dir
 * @param {string} [trustedKeys] public keys, see `assertSigned`
 * @returns {{description: Description, artifacts: ModelArtifacts}}
 * @throws {UserError} not a classifier, a damaged one, or not signed by these keys
 */
export function readClassifier(dir, trustedKeys) {
  const description = readDescription(dir, trustedKeys);
  const model = parseModel(checked(dir, 'model.json', description), join(dir, 'model.json'));
  const weights = checked(dir, 'weights.bin', description);
  const artifacts = {
    format: model.format,
    modelTopology: model.modelTopology,
    weightSpecs: /** @type {any[]} */ (model.weightsManifest.flatMap((group) => group.weights)),
    weightData: new Uint8Array(weights).buffer,
  };
  return { description, artifacts };
}

/** @param {string} dir @param {string} name @param {Description} description */
function checked(dir, name, { files }) {
  const bytes = read(dir, name);
  if (sha256(bytes) === files[name]?.sha256) return bytes;
  throw new UserError(
    `${join(dir, name)} has sha256 ${sha256(bytes)}, expected ${files[name]?.sha256}; ` +
      'the classifier is damaged, copy or train it again',
  );
}

/** @param {string} dir @param {string} name */
function read(dir, name) {
  try {
    return readInput(join(dir, name), LARGEST);
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
    throw new UserError(
      name === DESCRIPTION
        ? `${dir} is not a classifier: it has no ${DESCRIPTION}; make one with \`node node_bridge/train.js\``
        : `${join(dir, name)} is missing; copy or train the classifier again`,
    );
  }
}

/** @param {Uint8Array} bytes */
function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}
