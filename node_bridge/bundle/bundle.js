/**
 * Opens a bundle: a directory with a contract (`bundle.json`) that names every other file with
 * its size and sha256. A bundle whose hashes or contract do not hold is refused, by file name.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';

import { BundleFile, isNotFoundError } from '../support/checked_file.js';
import { UserError } from '../support/errors.js';
import { readInput } from '../support/files.js';
import { assertValid, parseJson } from '../support/json.js';
import { assertSigned } from './signature.js';

/** The contract version this program understands. */
const CONTRACT_VERSION = 1;

const ADVICE = 'export the bundle again';

/** Bytes of a file that is checked without being kept. */
const CHUNK_BYTES = 2 ** 20;
/** Bytes of a contract, and of any file that is read whole: all but the weights. */
const MAX_CONTRACT_BYTES = 2 ** 24;
const MAX_FILE_BYTES = 2 ** 29;

/**
 * @typedef {object} TensorSpec
 * @property {string} name name in the model's signature
 * @property {string} role what it means: `input_ids`, `attention_mask`, `token_type_ids`,
 *   `sequence_output`, `pooled_output`, or the name itself where the meaning is the model's own
 * @property {string} dtype `int32` or `float32`; of an input `int32`
 * @property {(string | number)[]} shape `batch` and `sequence` where they are free, else numbers; an
 *   input's number is a size that the model always takes
 */

/**
 * @typedef {object} SpecialToken
 * @property {string} token as it stands in the vocab
 * @property {number} id
 */

/**
 * @typedef {object} TokenizerContract
 * @property {'bert' | 'tf-text' | 'tf-text-fast' | 'chars'} algorithm
 * @property {Record<string, boolean>} options the algorithm's options, `lower_case` among them
 * @property {number} vocab_size lines of `vocab.txt`
 * @property {Record<'pad' | 'unk' | 'cls' | 'sep' | 'mask', SpecialToken>} special_tokens
 * @property {boolean} source_adds_special_tokens whether the Python side adds [CLS] and [SEP]
 */

/**
 * @typedef {object} Contract
 * @property {string} format always `bert-bridge`
 * @property {number} contract_version
 * @property {string} name
 * @property {string | null} architecture `albert`, `bert`, `electra`, or null for a tokenizer alone
 * @property {boolean | null} trained false: seeded, untrained weights; null: not known
 * @property {string | null} weight_dtype
 * @property {TensorSpec[]} inputs
 * @property {TensorSpec[]} outputs
 * @property {'masked' | 'attended'} padding whether padding is masked or attended to
 * @property {number} max_length positions the model has, [CLS] and [SEP] included
 * @property {TokenizerContract} tokenizer
 * @property {object} provenance
 * @property {{name: string, tags: string[]}} [signature] what was exported of the SavedModel
 * @property {{sha256: string, allowed_ops: string} | null} [saved_model] of the copy in saved_model/, as it was vetted
 * @property {{name: string, node: string}[]} [taps] nodes inside the model that a judge may look at
 * @property {{budget?: {atol: number, rtol: number}, budgets?: Record<string, {atol: number, rtol: number}>} | null} [accuracy] how far its outputs may be from Python's: each, or all in older bundles
 * @property {Record<string, {sha256: string, size: number}>} files every other file of the bundle
 */

/** A bundle whose every file has been checked against the contract. */
export class Bundle {
  /**
   * @param {string} dir
   * @param {Contract} contract
   * @param {string} hash sha256 of `bundle.json`, hence of everything: it names the bundle
   */
  constructor(dir, contract, hash) {
    this.dir = dir;
    this.contract = contract;
    this.hash = hash;
  }

  /**
   * Reads the contract. Each file is checked whenever it is read.
   *
   * @param {string} dir
   * @param {object} [options]
   * @param {string} [options.trustedKeys] public Ed25519 keys, one or more PEM blocks: one of them must
   *   have signed the bundle
   * @returns {Bundle}
   * @throws {UserError} not a bundle, one of another contract version, a contract that is not what
   *   schemas/bundle.schema.json says, or not signed by these keys
   */
  static open(dir, { trustedKeys } = {}) {
    const text = readContract(dir);
    if (trustedKeys !== undefined) assertSigned(dir, 'bundle.json', text, trustedKeys);
    const path = join(dir, 'bundle.json');
    const contract = parseJson(text, path, ADVICE);
    if (contract?.format !== 'bert-bridge') {
      throw new UserError(`${path}: got format ${JSON.stringify(contract?.format)}, expected "bert-bridge"`);
    }
    if (contract.contract_version !== CONTRACT_VERSION) {
      throw new UserError(
        `${path} has contract version ${JSON.stringify(contract.contract_version)}, this program reads ` +
          `${CONTRACT_VERSION}; export the bundle again with the same release`,
      );
    }
    assertValid('bundle', contract, path, ADVICE);
    const problem = findContradiction(contract);
    if (problem !== undefined) throw new UserError(`${path}: ${problem}; ${ADVICE}`);
    return new Bundle(dir, contract, createHash('sha256').update(text).digest('hex'));
  }

  /**
   * The bytes of one file, checked against the contract.
   *
   * @param {string} name
   * @param {number} [most] bytes that such a file may have
   * @returns {Buffer}
   * @throws {UserError} missing, truncated, altered or larger
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
   * The same check, for a file that is too large to be held.
   *
   * @param {string} name
   * @throws {UserError} missing, truncated or altered
   */
  check(name) {
    const file = this.file(name);
    const piece = new Uint8Array(Math.min(file.remaining, CHUNK_BYTES));
    while (file.remaining > 0) file.readInto(piece.subarray(0, file.remaining));
  }

  /**
   * One file, to be read piece by piece.
   *
   * @param {string} name
   * @throws {UserError} not in the contract, missing, or of another size
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
 * What the schema cannot say.
 *
 * @param {Contract} contract
 * @returns {string | undefined}
 */
function findContradiction({ inputs, outputs, tokenizer, architecture }) {
  const { vocab_size: size, special_tokens: special } = tokenizer;
  const beyond = Object.entries(special).find(([, { id }]) => id >= size);
  if (beyond !== undefined) return `special token ${beyond[0]} has id ${beyond[1].id}, expected less than vocab_size, ${size}`;
  for (const [what, specs] of /** @type {const} */ ([
    ['inputs', inputs],
    ['outputs', outputs],
  ])) {
    for (const key of /** @type {const} */ (['name', 'role'])) {
      const values = specs.map((spec) => spec[key]);
      const twice = values.find((value, i) => values.indexOf(value) !== i);
      if (twice !== undefined) return `two ${what} have the ${key} ${twice}`;
    }
  }
  if (architecture === null || inputs.some(({ role }) => role === 'input_ids')) return undefined;
  return 'no input has the role input_ids';
}

/** @param {string} dir */
function readContract(dir) {
  try {
    return readInput(join(dir, 'bundle.json'), MAX_CONTRACT_BYTES);
  } catch (error) {
    if (!isNotFoundError(error)) throw error;
    throw new UserError(`${dir} is not a bundle: it has no bundle.json; make one with \`nox -s export\``);
  }
}
