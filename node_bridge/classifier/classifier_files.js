/**
 * Reads and writes the directory of a classifier: `model.json` and `weights.bin` (a TF.js LayersModel),
 * and `classifier.json` with its labels, its bundle, and how texts become its input.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { buildArtifacts, MODEL_FILE, parseModelJson } from '../bundle/model_json.js';
import { assertSigned, SIGNATURE_FILE } from '../bundle/signature.js';
import { isNotFoundError } from '../support/checked_file.js';
import { UserError } from '../support/errors.js';
import { readInput } from '../support/files.js';
import { assertValid, parseJson } from '../support/json.js';
import { assertWritable, writeDirectory } from '../support/output_directory.js';
import { sha256 } from '../support/sha256.js';

/** What a directory with a trained classifier has. */
export const DESCRIPTION = 'classifier.json';
const WEIGHTS = 'weights.bin';
const FORMAT = 'bert-bridge-classifier';
/** Version 1 has no seal and lists only the files of the model. */
const VERSION = 2;
const VERSIONS = [1, VERSION];
/** Files of train.js in a directory of version 1, which does not list them. */
const EXTRA_FILES_V1 = ['training.html', 'log.jsonl'];
/** Replaces the seal while the seal is computed. */
const UNSEALED = '0'.repeat(64);
const ADVICE = 'copy or train the classifier again';
/** The largest file in bytes: a head of 10,000 labels has 20 MB. */
const MAX_FILE_BYTES = 2 ** 28;

/**
 * @typedef {import('@tensorflow/tfjs-core').io.ModelArtifacts} ModelArtifacts
 * @typedef {object} GoldenAnswer the answer to `text`, or to `sentence1` and `sentence2`
 * @property {string} [text]
 * @property {string} [sentence1]
 * @property {string} [sentence2]
 * @property {string} label
 * @property {number[]} probabilities in the order of the labels
 * @typedef {object} Description
 * @property {string} format always `bert-bridge-classifier`
 * @property {number} version
 * @property {string} [sha256] the seal; see `sealDescription`
 * @property {string[]} labels in the order of the probabilities
 * @property {'single' | 'pair'} task
 * @property {string} head one of HEADS: `dense`, `bilstm`, `linear`
 * @property {number} max_length how many positions a text may take, [CLS] and [SEP] counted
 * @property {import('../tokenizer/long_rule.js').LongRule} [long] how a longer text is read; without it, it is cut
 * @property {'added'} special_tokens [CLS] and [SEP] were added
 * @property {import('../encoder/features.js').Pooling} pooling which part of `sequence_output` the head takes
 * @property {{hash: string, dir: string}} bundle the only bundle it works with; `dir` is its
 *   path at training, relative to the classifier
 * @property {string} backend
 * @property {number} seed
 * @property {number} epochs how many were trained
 * @property {number} best_epoch the epoch of these weights, from 1
 * @property {number} batch_size
 * @property {number} learning_rate of the first epoch
 * @property {string} schedule of the learning rate
 * @property {number[]} class_weights in the order of the labels
 * @property {string} best_by `accuracy` or `macro-f1`: what chose the best epoch
 * @property {number} dev_accuracy
 * @property {number} dev_macro_f1
 * @property {GoldenAnswer[]} [golden] its answers to the bundle's golden texts at the end of training
 * @property {Record<string, string>} [checksums] the sha256 of each weight as it was trained, by its name; see
 *   `hashWeights`
 * @property {{settings: string, data: string}} [trained_with] sha256 of the settings, and of
 *   texts and labels
 * @property {Record<string, {sha256: string, size: number}>} files every other file; version 1 lists only those of the model
 */

/**
 * @param {string} dir for a classifier
 * @returns {boolean} whether it has a finished classifier already
 * @throws {UserError} `dir` is a file, or has files that are not of a classifier
 */
export function hasClassifier(dir) {
  assertWritable(dir, CLASSIFIER_DIRECTORY);
  return existsSync(join(dir, DESCRIPTION));
}

/** @type {import('../support/output_directory.js').DirectoryKind} */
const CLASSIFIER_DIRECTORY = { marker: DESCRIPTION, filesOf: listFiles };

/** The files that a classifier lists as its own. @param {string} dir @returns {string[]} */
function listFiles(dir) {
  const { version, files } = readDescription(dir);
  return [DESCRIPTION, SIGNATURE_FILE, ...Object.keys(files), ...(version === VERSION ? [] : EXTRA_FILES_V1)];
}

/**
 * Writes a classifier, whole or not at all.
 *
 * @param {string} dir
 * @param {ModelArtifacts} artifacts the model
 * @param {Omit<Description, 'format' | 'version' | 'files' | 'sha256' | 'checksums'>} details all fields of
 *   the description that are not computed here
 * @param {Record<string, string>} [beside] other files, content by name
 * @throws {UserError} the description does not fit its schema; nothing is written
 */
export function writeClassifier(dir, { modelTopology, weightSpecs, weightData }, details, beside = {}) {
  const model = {
    format: 'layers-model',
    generatedBy: 'bert-bridge',
    convertedBy: null,
    modelTopology,
    weightsManifest: [{ paths: [WEIGHTS], weights: weightSpecs }],
  };
  const weights = Buffer.concat([weightData ?? []].flat().map((part) => new Uint8Array(part)));
  const others = Object.entries(beside).map(([name, text]) => [name, Buffer.from(text)]);
  /** @type {Record<string, Buffer>} */
  const files = {
    ...Object.fromEntries(others),
    [MODEL_FILE]: Buffer.from(`${JSON.stringify(model)}\n`),
    [WEIGHTS]: weights,
  };
  const sums = Object.entries(files).map(([name, bytes]) => [name, { sha256: sha256(bytes), size: bytes.length }]);
  const description = {
    format: FORMAT,
    version: VERSION,
    sha256: UNSEALED,
    ...details,
    checksums: hashWeights(weightSpecs ?? [], weights),
    files: Object.fromEntries(sums),
  };
  const path = join(dir, DESCRIPTION);
  assertDescription(JSON.parse(JSON.stringify(description)), path);
  writeDirectory(
    dir,
    { ...files, [DESCRIPTION]: sealDescription(`${JSON.stringify(description, null, 2)}\n`, UNSEALED) },
    CLASSIFIER_DIRECTORY,
  );
}

/**
 * Computes the sha256 of each weight. Golden answers cannot show a change in the last bits of a
 * weight, and the other hashes may have been written anew after the change.
 *
 * @param {{name: string, shape: number[]}[]} specs of float32 weights, in the order of `bytes`
 * @param {Uint8Array} bytes
 * @returns {Record<string, string>} by name
 */
export function hashWeights(specs, bytes) {
  let at = 0;
  return Object.fromEntries(
    specs.map(({ name, shape }) => {
      const start = at;
      at += shape.reduce((size, axis) => size * axis, Float32Array.BYTES_PER_ELEMENT);
      return [name, sha256(bytes.subarray(start, at))];
    }),
  );
}

/**
 * Writes the seal into a description: the sha256 of its bytes with 64 zeros in place of the seal. It
 * proves that no line was lost or edited since training; no other hash does. It does not prove who
 * trained the classifier: anyone can seal it again.
 *
 * @param {string} text the description
 * @param {string} seal the text that the seal replaces
 */
function sealDescription(text, seal) {
  return text.replace(seal, computeSeal(text, seal));
}

/** @param {string} text @param {string} seal that stands in it */
function computeSeal(text, seal) {
  return sha256(text.replace(seal, UNSEALED));
}

/**
 * @param {string} dir
 * @param {string} [trustedKeys] public keys, see `assertSigned`
 * @returns {Description}
 * @throws {UserError} it is not a classifier, is of another release, was edited, or is not signed by
 *   these keys
 */
export function readDescription(dir, trustedKeys) {
  const path = join(dir, DESCRIPTION);
  const bytes = readClassifierFile(dir, DESCRIPTION);
  if (trustedKeys !== undefined) assertSigned(dir, DESCRIPTION, bytes, trustedKeys);
  const description = parseJson(bytes, path, ADVICE);
  if (description?.format !== FORMAT || !VERSIONS.includes(description.version)) {
    const got = JSON.stringify([description?.format, description?.version]);
    throw new UserError(`${path}: got format and version ${got}, expected ["${FORMAT}",${VERSION}]; train it again`);
  }
  assertDescription(description, path);
  const { sha256: seal } = description;
  if (seal !== undefined && computeSeal(bytes.toString('utf8'), seal) !== seal) {
    throw new UserError(`${path} is not what its sha256 says: it was edited or damaged; ${ADVICE}`);
  }
  return description;
}

/** @param {any} description @param {string} path */
function assertDescription(description, path) {
  assertValid('classifier', description, path, ADVICE);
  const problem = findContradiction(description);
  if (problem !== undefined) throw new UserError(`${path}: ${problem}; ${ADVICE}`);
}

/**
 * Finds what is wrong with a description though its schema allows it.
 *
 * @param {Description} description
 * @returns {string | undefined}
 */
function findContradiction(description) {
  const { labels, class_weights: weights, golden = [], epochs, best_epoch: best, task } = description;
  const known = new Set(labels);
  if (known.size < labels.length) return 'got a label twice';
  if (weights !== undefined && weights.length !== labels.length)
    return `got ${weights.length} class_weights for ${labels.length} labels`;
  if (best !== undefined && best > epochs) return `got best_epoch ${best} of ${epochs} epochs`;
  const { max_length: length, long, pooling } = description;
  if (long?.choice === 'windows') {
    if (pooling === 'sequence_output') return `got windows, which give one vector a text, for the pooling ${pooling}`;
    if (Number(long.stride) > length - 2) return `got the stride ${long.stride} of windows of ${length} positions`;
  }
  for (const { label, probabilities, text } of golden) {
    if (!known.has(label)) return 'got a golden answer whose label is none of its labels';
    if (probabilities.length !== labels.length)
      return `got a golden answer with ${probabilities.length} probabilities for ${labels.length} labels`;
    if ((text === undefined) !== (task === 'pair')) return `got a golden text that is not of the task ${task}`;
  }
  return undefined;
}

/**
 * Reads a classifier and checks its files.
 *
 * @param {string} dir
 * @param {string} [trustedKeys] public keys, see `assertSigned`
 * @returns {{description: Description, artifacts: ModelArtifacts}}
 * @throws {UserError} it is not a classifier, is damaged, or is not signed by these keys
 */
export function readClassifier(dir, trustedKeys) {
  const description = readDescription(dir, trustedKeys);
  const path = join(dir, MODEL_FILE);
  const { format, modelTopology, weightsManifest } = parseModelJson(readCheckedFile(dir, MODEL_FILE, description), path);
  // A classifier has one file of weights, whatever its model.json names.
  const manifest = [{ paths: [WEIGHTS], weights: weightsManifest.flatMap(({ weights }) => weights) }];
  const artifacts = buildArtifacts({ format, modelTopology, weightsManifest: manifest }, (name) =>
    readCheckedFile(dir, name, description),
  );
  return { description, artifacts };
}

/** @param {string} dir @param {string} name @param {Description} description */
function readCheckedFile(dir, name, { files }) {
  const bytes = readClassifierFile(dir, name);
  if (sha256(bytes) === files[name].sha256) return bytes;
  throw new UserError(
    `${join(dir, name)} has sha256 ${sha256(bytes)}, expected ${files[name].sha256}; the classifier is damaged, ${ADVICE}`,
  );
}

/** @param {string} dir @param {string} name */
function readClassifierFile(dir, name) {
  try {
    return readInput(join(dir, name), MAX_FILE_BYTES);
  } catch (error) {
    if (!isNotFoundError(error)) throw error;
    throw new UserError(
      name === DESCRIPTION
        ? `${dir} is not a classifier: it has no ${DESCRIPTION}; make one with \`node node_bridge/train.js\``
        : `${join(dir, name)} is missing; copy or train the classifier again`,
    );
  }
}
