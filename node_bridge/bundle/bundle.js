/**
 * Opens a bundle: a directory with a contract (`bundle.json`) that lists every other file with its
 * size and sha256. A bundle with a wrong hash or contract is refused; the error names the file.
 */
import { join } from 'node:path';

import { BundleFile, CHUNK_BYTES, isNotFoundError } from '../support/checked_file.js';
import { UserError } from '../support/errors.js';
import { readInput } from '../support/files.js';
import { assertValid, parseJson } from '../support/json.js';
import { assertOptions } from '../support/option_names.js';
import { sha256 } from '../support/sha256.js';
import { assertSigned } from './signature.js';

/** The contract, which lists every other file. */
export const CONTRACT_FILE = 'bundle.json';
/** The contract versions that this program understands. Version 1 has no `contents`: a null architecture said that a bundle holds a tokenizer alone. */
const CONTRACT_VERSIONS = [1, 2];

/** How to repair a bundle. */
export const ADVICE = 'export the bundle again';
/** The roles of all inputs that a model may have. */
export const INPUT_ROLES = ['input_ids', 'attention_mask', 'token_type_ids'];

/** The largest contract, and the largest file that is read whole (all but the weights), in bytes. */
const MAX_CONTRACT_BYTES = 2 ** 24;
const MAX_FILE_BYTES = 2 ** 29;

/**
 * @typedef {object} TensorSpec
 * @property {string} name in the model's signature
 * @property {string} role its meaning: `input_ids`, `attention_mask`, `token_type_ids`,
 *   `sequence_output`, `pooled_output`, or the name itself if the meaning is particular to the model
 * @property {string} dtype `int32` or `float32`; inputs are `int32`
 * @property {(string | number)[]} shape `batch` and `sequence` for free axes, else numbers; a number of
 *   an input is the only size that the model takes
 */

/**
 * @typedef {object} SpecialToken
 * @property {string} token as it is in the vocab
 * @property {number} id
 */

/**
 * @typedef {object} TokenizerContract
 * @property {'bert' | 'tf-text' | 'tf-text-fast' | 'chars'} algorithm
 * @property {Record<string, boolean>} options the algorithm's options, `lower_case` among them
 * @property {number} vocab_size number of lines of `vocab.txt`
 * @property {Record<'pad' | 'unk' | 'cls' | 'sep' | 'mask', SpecialToken>} special_tokens
 * @property {boolean} source_adds_special_tokens whether the Python side adds [CLS] and [SEP]
 */

/**
 * @typedef {object} ClassifierContract
 * @property {'single_label' | 'multi_label' | 'regression' | 'token_labels'} task
 * @property {string} output the name of the output with the scores, float32[batch, labels] or
 *   float32[batch, sequence, labels]
 * @property {'softmax' | 'sigmoid' | 'none'} activation makes probabilities of the scores; `none`: they are
 *   probabilities already, or a regression's numbers
 * @property {string[]} labels in the order of the scores
 * @property {number} [threshold] of `multi_label`
 * @property {'BIO' | 'BIOES' | 'none'} [scheme] of `token_labels`
 */

/**
 * @typedef {object} Contract
 * @property {string} format always `bert-bridge`
 * @property {number} contract_version
 * @property {string} name
 * @property {'model' | 'tokenizer'} contents a model with its tokenizer, or a tokenizer alone
 * @property {string | null} architecture `albert`, `bert`, `electra`; null in a bundle of a tokenizer alone
 * @property {boolean | null} trained false: seeded, untrained weights; null: unknown
 * @property {string | null} weight_dtype
 * @property {TensorSpec[]} inputs
 * @property {TensorSpec[]} outputs
 * @property {'masked' | 'attended'} padding whether padding is masked or attended to
 * @property {number} max_length how many positions the model has, [CLS] and [SEP] included
 * @property {TokenizerContract} tokenizer
 * @property {object} provenance
 * @property {ClassifierContract | null} [classifier] what the model decides, if it has a head
 * @property {{name: string, tags: string[]}} [signature] what part of the SavedModel was exported
 * @property {{sha256: string, allowed_ops: string} | null} [saved_model] a record that the copy in saved_model/ was vetted
 * @property {{name: string, node: string}[]} [taps] nodes inside the model whose values the parity test compares
 * @property {{budget?: {atol: number, rtol: number}, budgets?: Record<string, {atol: number, rtol: number}>} | null} [accuracy] how far the outputs may be from Python's: a budget for each output, or one for all in older bundles
 * @property {Record<string, {sha256: string, size: number}>} files every other file of the bundle
 */

/** A bundle. Each file is checked against the contract when it is read. */
export class Bundle {
  /**
   * @param {string} dir
   * @param {Contract} contract
   * @param {string} hash sha256 of `bundle.json`, and so of all files: it identifies the bundle
   */
  constructor(dir, contract, hash) {
    this.dir = dir;
    this.contract = contract;
    this.hash = hash;
  }

  /**
   * Reads the contract.
   *
   * @param {string} dir
   * @param {object} [options]
   * @param {string} [options.trustedKeys] public Ed25519 keys, one or more PEM blocks: one of them must
   *   have signed the bundle
   * @returns {Bundle}
   * @throws {UserError} it is not a bundle, has another contract version, does not fit
   *   schemas/bundle.schema.json, or is not signed by these keys; or an option is unknown
   */
  static open(dir, options = {}) {
    assertOptions('Bundle.open', options, ['trustedKeys']);
    const { trustedKeys } = options;
    const text = readContract(dir);
    if (trustedKeys !== undefined) assertSigned(dir, CONTRACT_FILE, text, trustedKeys);
    const path = join(dir, CONTRACT_FILE);
    const contract = parseJson(text, path, ADVICE);
    if (contract?.format !== 'bert-bridge') {
      throw new UserError(`${path}: got format ${JSON.stringify(contract?.format)}, expected "bert-bridge"`);
    }
    if (!CONTRACT_VERSIONS.includes(contract.contract_version)) {
      throw new UserError(
        `${path} has contract version ${JSON.stringify(contract.contract_version)}, this program reads ` +
          `${CONTRACT_VERSIONS.join(' and ')}; export the bundle again with the same release`,
      );
    }
    assertValid('bundle', contract, path, ADVICE);
    const problem = findContradiction(contract);
    if (problem !== undefined) throw new UserError(`${path}: ${problem}; ${ADVICE}`);
    if (contract.contract_version === 1) contract.contents = contract.architecture === null ? 'tokenizer' : 'model';
    return new Bundle(dir, contract, sha256(text));
  }

  /**
   * Reads one file and checks it against the contract.
   *
   * @param {string} name
   * @param {number} [most] the largest size that is allowed, in bytes
   * @returns {Buffer}
   * @throws {UserError} the file is missing, truncated, altered or larger
   */
  read(name, most = MAX_FILE_BYTES) {
    const file = this.file(name);
    if (file.remaining > most) {
      const { remaining: left } = file;
      file.close();
      throw new UserError(`${join(this.dir, name)} has ${left} bytes, expected at most ${most}`);
    }
    const bytes = Buffer.allocUnsafeSlow(file.remaining);
    file.readInto(bytes);
    return bytes;
  }

  /**
   * Checks one file against the contract without keeping it in memory.
   *
   * @param {string} name
   * @throws {UserError} the file is missing, truncated or altered
   */
  check(name) {
    const file = this.file(name);
    const piece = new Uint8Array(Math.min(file.remaining, CHUNK_BYTES));
    while (file.remaining > 0) file.readInto(piece.subarray(0, file.remaining));
  }

  /**
   * Opens one file to read it piece by piece.
   *
   * @param {string} name
   * @throws {UserError} the contract does not list it, it is missing, or it has another size
   */
  file(name) {
    if (!this.has(name)) {
      throw new UserError(`${this.dir} holds no ${name}: its contract does not list it`);
    }
    return new BundleFile(this.dir, name, this.contract.files[name]);
  }

  /** Whether the contract lists a file. @param {string} name */
  has(name) {
    return Object.hasOwn(this.contract.files, name);
  }
}

/**
 * Finds an output of a model by its role.
 *
 * @param {Pick<Bundle, 'dir' | 'contract'>} bundle
 * @param {string} role
 * @returns {TensorSpec}
 * @throws {UserError} the model has no such output; names those that it has
 */
export function findOutput({ dir, contract: { outputs } }, role) {
  const spec = outputs.find((output) => output.role === role);
  if (spec !== undefined) return spec;
  throw new UserError(`${dir} has no ${role}; its outputs are ${outputs.map(({ name }) => name).join(', ')}`);
}

/**
 * Finds what is wrong with a contract though its schema allows it.
 *
 * @param {Contract} contract
 * @returns {string | undefined}
 */
function findContradiction({ contract_version: version, contents, inputs, outputs, tokenizer, classifier }) {
  if (version === 1 && contents !== undefined) return 'got contents, which contract version 1 does not have';
  const { vocab_size: size, special_tokens: special } = tokenizer;
  const beyond = Object.entries(special).find(([, { id }]) => id >= size);
  if (beyond !== undefined) return `special token ${beyond[0]} has id ${beyond[1].id}, expected less than vocab_size, ${size}`;
  for (const [what, specs] of /** @type {const} */ ([
    ['inputs', inputs],
    ['outputs', outputs],
  ])) {
    for (const key of /** @type {const} */ (['name', 'role'])) {
      const twice = findTwice(specs.map((spec) => spec[key]));
      if (twice !== undefined) return `two ${what} have the ${key} ${twice}`;
    }
  }
  const problem = classifier ? findContradictionInScores(classifier, outputs) : undefined;
  if (problem !== undefined) return problem;
  if (inputs.length === 0 || inputs.some(({ role }) => role === 'input_ids')) return undefined;
  return 'no input has the role input_ids';
}

/**
 * Finds what the output with the scores lacks, as support/contracts.py does.
 *
 * @param {ClassifierContract} classifier
 * @param {TensorSpec[]} outputs
 * @returns {string | undefined}
 */
function findContradictionInScores({ task, output, labels }, outputs) {
  const twice = findTwice(labels);
  if (twice !== undefined) return `the classifier has the label ${JSON.stringify(twice)} twice`;
  const shape = outputs.find(({ name }) => name === output)?.shape;
  if (shape === undefined) return `the classifier's output ${output} is none of the outputs`;
  const rank = task === 'token_labels' ? 3 : 2;
  if (shape.length === rank && shape.at(-1) === labels.length) return undefined;
  return `the classifier's output has the shape [${shape.join(', ')}], expected rank ${rank} and ${labels.length} scores`;
}

/**
 * The first value that came before. The schema does not ask for it: its interpreter compares each value with each
 * other, and a million labels would take hours.
 *
 * @param {string[]} values
 * @returns {string | undefined}
 */
function findTwice(values) {
  const seen = new Set();
  return values.find((value) => seen.size === seen.add(value).size);
}

/** @param {string} dir */
function readContract(dir) {
  try {
    return readInput(join(dir, CONTRACT_FILE), MAX_CONTRACT_BYTES);
  } catch (error) {
    if (!isNotFoundError(error)) throw error;
    throw new UserError(`${dir} is not a bundle: it has no ${CONTRACT_FILE}; make one with \`nox -s export\``);
  }
}
