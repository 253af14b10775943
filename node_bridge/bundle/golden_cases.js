/**
 * Checks a bundle against its golden cases: texts with the ids and outputs that Python's TensorFlow
 * gave for them when the bundle was made.
 */
import { createHash } from 'node:crypto';

import { CHUNK_BYTES } from '../support/checked_file.js';
import { findBudgetProblem, compareTensors } from '../support/closeness.js';
import { UserError } from '../support/errors.js';
import { assertValid, isObject, parseJson } from '../support/json.js';
import { readSafetensors } from '../support/safetensors.js';
import { sha256 } from '../support/sha256.js';
import { ADVICE, INPUT_ROLES } from './bundle.js';
import { readModelJson } from './model_json.js';
import { computeStoredSize, WeightFiles } from './weight_files.js';

const GOLDEN_FILE = 'golden.safetensors';

/**
 * @typedef {object} Check
 * @property {string} name `ids`, or an output by its name
 * @property {boolean} passed
 * @property {number | null} maxAbs
 * @property {number} budget the `atol`; 0 for ids
 * @property {number} rtol the allowed share of the expected value, besides; 0 for ids
 * @property {string} said what is wrong; empty if the check passed
 */

/** @typedef {ReturnType<typeof readGoldenCases>} GoldenCases */

/**
 * Reads the golden cases of a bundle.
 *
 * @param {import('./bundle.js').Bundle} bundle
 * @returns {{
 *   texts: string[],
 *   tensors: Record<string, import('../support/safetensors.js').Tensor>,
 *   tokenizerCases: {texts: string[], ids: number[][]},
 *   checksums: {weights: Record<string, string>, files: Record<string, string>, contract: string} | null,
 * }} `tokenizerCases`: texts with their ids alone; `checksums`: null if an older release made the
 *   bundle
 * @throws {UserError} the bundle has no golden cases, or they do not fit its contract
 */
export function readGoldenCases(bundle) {
  if (!Object.hasOwn(bundle.contract.files, GOLDEN_FILE)) {
    throw new UserError(`${bundle.dir} has no golden cases, so nothing can be verified; export it again`);
  }
  const path = `${bundle.dir}/${GOLDEN_FILE}`;
  const { tensors, metadata } = readSafetensors(bundle.read(GOLDEN_FILE), path);
  /** @type {Record<string, unknown>} */
  const document = {};
  for (const [key, value] of Object.entries(metadata)) document[key] = parseJson(value, `${path}, its metadata ${key}`);
  assertValid('golden', document, path, ADVICE);
  const { texts, tokenizer_cases: tokenizerCases = { texts: [], ids: [] }, checksums = null } = /** @type {any} */ (document);
  assertTensorsFit(path, texts, tensors);
  if (tokenizerCases.ids.length !== tokenizerCases.texts.length) {
    throw new UserError(
      `${path}: got ids of ${tokenizerCases.ids.length} tokenizer cases, expected of ${tokenizerCases.texts.length}; ${ADVICE}`,
    );
  }
  return { texts, tensors, tokenizerCases, checksums };
}

/**
 * Checks the ids, since they are read row by row. What is wrong with outputs, the comparison finds.
 *
 * @param {string} path
 * @param {string[]} texts
 * @param {Record<string, import('../support/safetensors.js').Tensor>} tensors
 * @throws {UserError} a tensor is missing or has another shape or dtype
 */
function assertTensorsFit(path, texts, tensors) {
  const width = Object.hasOwn(tensors, 'input_ids') ? tensors.input_ids.shape[1] : undefined;
  const expected = `I32[${texts.length},${width ?? 'sequence'}]`;
  for (const name of INPUT_ROLES) {
    const got = Object.hasOwn(tensors, name) ? `${tensors[name].dtype}[${tensors[name].shape}]` : 'none';
    if (got !== expected) throw new UserError(`${path}: got ${name} ${got}, expected ${expected}; ${ADVICE}`);
  }
}

/**
 * Runs the golden texts and compares ids and outputs.
 *
 * @param {import('./bundle.js').Bundle} bundle
 * @param {import('../tokenizer/index.js').Tokenizer} tokenizer of the bundle
 * @param {import('../encoder/encoder.js').Encoder} encoder of the bundle
 * @param {number} [count] how many texts, from the first on; all by default
 * @returns {Promise<Check[]>} the ids first, then each output of the contract
 * @throws {UserError} there are no golden cases, or a budget is not valid
 */
export async function verifyBundle(bundle, tokenizer, encoder, count = Infinity) {
  const golden = readGoldenCases(bundle);
  const texts = golden.texts.slice(0, count);
  const { accuracy, outputs, padding } = bundle.contract;
  if (texts.length === 0 || !accuracy) {
    throw new UserError(`${bundle.dir} has golden cases without texts or budget; export it again`);
  }
  const budgets = outputs.map(({ name }) => findBudget(bundle, name));
  const encodings = texts.map((text) => tokenizer.encode(text));
  // A model that attends to padding gives other numbers at another width.
  const width = padding === 'attended' ? golden.tensors.input_ids.shape[1] : undefined;
  const batch = encoder.pad(encodings, width);
  const tensors =
    texts.length < golden.texts.length
      ? takeFirstRows(golden.tensors, bundle.contract.outputs, [texts.length, batch.input_ids.shape[1]])
      : golden.tensors;
  const checks = [compareIds(batch, tensors, texts)];
  const got = await encoder.run(encodings, width);
  const mask = padding === 'masked' ? tensors.attention_mask : undefined;
  for (const [i, { name }] of outputs.entries()) {
    const { atol, rtol } = budgets[i];
    const expected = tensors[name];
    const measured = expected
      ? compareTensors(zeroMaskedPositions(got[name], mask), zeroMaskedPositions(expected, mask), budgets[i])
      : { close: false, maxAbs: null, problem: 'the golden cases have no such output' };
    const { close, maxAbs, problem } = measured;
    checks.push({ name, passed: close, maxAbs, budget: atol, rtol, said: problem });
  }
  return checks;
}

/**
 * Compares the ids of the golden texts; needs the tokenizer only.
 *
 * @param {import('./bundle.js').Bundle} bundle
 * @param {import('../tokenizer/index.js').Tokenizer} tokenizer
 * @param {number} [count] how many texts, from the first on; all by default
 * @returns {Check}
 * @throws {UserError} there are no golden cases
 */
export function verifyGoldenIds(bundle, tokenizer, count = Infinity) {
  const { texts, tensors } = readGoldenCases(bundle);
  const { input_ids: expected, attention_mask: mask } = tensors;
  const [, width] = expected.shape;
  for (const [row, text] of texts.slice(0, count).entries()) {
    const visible = (/** @type {number} */ i) => mask.data[row * width + i] === 1;
    const ids = Array.from(expected.data.slice(row * width, (row + 1) * width)).filter((_, i) => visible(i));
    const got = Array.from(tokenizer.encode(text).ids);
    if (String(got) === String(ids)) continue;
    const said = `input_ids of ${JSON.stringify(text)}: got ${got.join(' ')}, expected ${ids.join(' ')}`;
    return { name: 'ids', passed: false, maxAbs: null, budget: 0, rtol: 0, said };
  }
  return { name: 'ids', passed: true, maxAbs: 0, budget: 0, rtol: 0, said: '' };
}

/**
 * Compares the ids of the texts that show the tokenizer's rules.
 *
 * @param {GoldenCases} golden
 * @param {import('../tokenizer/index.js').Tokenizer} tokenizer
 * @returns {Check | null} null if there are no such texts, as in older bundles
 */
export function verifyTokenizerRules({ tokenizerCases: { texts, ids } }, tokenizer) {
  if (texts.length === 0) return null;
  const wrong = texts.findIndex((text, i) => String(Array.from(tokenizer.encode(text).ids)) !== String(ids[i]));
  const passed = wrong === -1;
  const got = passed ? [] : Array.from(tokenizer.encode(texts[wrong]).ids);
  const at = passed ? 0 : got.findIndex((id, i) => id !== ids[wrong][i]);
  const position = at === -1 ? got.length : at;
  const said = passed
    ? ''
    : `ids of ${JSON.stringify(texts[wrong]).slice(0, 80)}: got ${got[position]} at position ${position}, expected ${ids[wrong][position]}`;
  return { name: 'tokenizer rules', passed, maxAbs: null, budget: 0, rtol: 0, said };
}

/**
 * Compares weights, files and contract with the checksums in the golden file. `bundle.json` has
 * hashes too, but a program that changes a file by mistake may also write new hashes, and the golden
 * texts use few lines of a vocab. This does not protect against an attacker, who can write new
 * checksums too.
 *
 * @param {import('./bundle.js').Bundle} bundle
 * @param {GoldenCases} golden of this bundle
 * @returns {Check | null} null if an older release made the bundle
 * @throws {UserError} a file is missing or altered
 */
export function verifyChecksums(bundle, { checksums }) {
  if (checksums === null) return null;
  const problems = Object.entries(checksums.files)
    .filter(([name, sum]) => sum !== sha256(bundle.read(name)))
    .map(([name]) => name);
  if (checksums.contract !== hashContract(bundle.contract))
    problems.push('bundle.json, in inputs, outputs, padding, max_length, tokenizer or classifier');
  const weights = bundle.contract.contents === 'tokenizer' ? {} : hashWeights(bundle);
  problems.push(...findChangedWeights(weights, checksums.weights, 'exported'));
  return checksumCheck(problems, 'exported');
}

/**
 * @param {Record<string, string>} got the sha256 of each weight, by its name
 * @param {Record<string, string>} expected the same at the origin
 * @param {'exported' | 'trained'} origin of the expected ones
 * @returns {string[]} a phrase for each weight that differs, is missing or is too many
 */
export function findChangedWeights(got, expected, origin) {
  const problems = [];
  for (const name of new Set([...Object.keys(expected), ...Object.keys(got)])) {
    const [has, should] = [got, expected].map((sums) => (Object.hasOwn(sums, name) ? sums[name] : undefined));
    if (has === should) continue;
    const how = has === undefined ? ', which is not there' : should === undefined ? `, which was not ${origin}` : '';
    problems.push(`weight ${name}${how}`);
  }
  return problems;
}

/**
 * @param {string[]} problems a phrase for each
 * @param {'exported' | 'trained'} origin
 * @returns {Check}
 */
export function checksumCheck(problems, origin) {
  const passed = problems.length === 0;
  const more = problems.length > 3 ? ` and ${problems.length - 3} more` : '';
  const said = passed ? '' : `not what was ${origin}: ${problems.slice(0, 3).join('; ')}${more}`;
  return { name: 'checksums', passed, maxAbs: null, budget: 0, rtol: 0, said };
}

/**
 * Computes the sha256 of each weight's stored bytes.
 *
 * @param {import('./bundle.js').Bundle} bundle
 * @returns {Record<string, string>} by the name in the manifest
 * @throws {UserError} a file is missing or altered, or the files do not fit the manifest
 */
function hashWeights(bundle) {
  const files = new WeightFiles(bundle, readModelJson(bundle).model.weightsManifest);
  /** @type {Record<string, string>} */
  const found = Object.create(null);
  const piece = new Uint8Array(CHUNK_BYTES);
  try {
    for (const weight of files.weights) {
      const hash = createHash('sha256');
      for (let left = computeStoredSize(weight); left > 0; left -= Math.min(left, CHUNK_BYTES)) {
        const part = piece.subarray(0, Math.min(left, CHUNK_BYTES));
        files.readInto(part);
        hash.update(part);
      }
      found[weight.name] = hash.digest('hex');
    }
  } finally {
    files.close();
  }
  return found;
}

/**
 * Computes the sha256 of the fields of a contract that decide the numbers. The JSON is written as
 * Python writes it: sorted keys, no spaces. The threshold of a classifier, the only float, is hashed by its bytes.
 *
 * @param {import('./bundle.js').Contract} contract
 */
function hashContract({ inputs, max_length, outputs, padding, tokenizer, classifier: found }) {
  const sorted = (/** @type {string} */ _, /** @type {any} */ value) =>
    isObject(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value;
  const threshold = found?.threshold === undefined ? undefined : hexOfFloat(found.threshold);
  const classifier = found ? { ...found, threshold } : undefined;
  return sha256(JSON.stringify({ inputs, max_length, outputs, padding, tokenizer, classifier }, sorted));
}

/** The eight bytes of a float64, the highest first. @param {number} value */
function hexOfFloat(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes.toString('hex');
}

/**
 * Describes in one line how much of the bundle the golden texts use; the rest has checksums only.
 *
 * @param {import('./bundle.js').Bundle} bundle
 * @param {GoldenCases} golden of this bundle
 * @returns {string}
 */
export function describeCoverage(bundle, { tensors, tokenizerCases, checksums }) {
  const { input_ids: ids, attention_mask: mask } = tensors;
  const used = new Set([...tokenizerCases.ids.flat(), ...Array.from(ids.data).filter((_, i) => mask.data[i] === 1)]);
  const { tokenizer, max_length: positions, contents } = bundle.contract;
  const lines = `golden texts use ${used.size} of ${tokenizer.vocab_size} vocab lines`;
  const rows = contents === 'tokenizer' ? '' : ` and ${ids.shape[1]} of ${positions} positions`;
  const rest =
    checksums === null
      ? 'nothing holds the rest, since an older release made the bundle: export it again'
      : 'the rest is covered by checksums';
  return `${lines}${rows}; ${rest}`;
}

/**
 * Finds how far an output may differ: its own budget, or the one for all outputs in older bundles.
 *
 * @param {import('./bundle.js').Bundle} bundle
 * @param {string} name
 * @returns {{atol: number, rtol: number}}
 * @throws {UserError} the contract has none, or it is not valid
 */
function findBudget(bundle, name) {
  const { accuracy } = bundle.contract;
  const budget = accuracy?.budgets ? accuracy.budgets[name] : accuracy?.budget;
  const problem = findBudgetProblem(budget);
  if (problem) throw new UserError(`${bundle.dir}: ${name}: ${problem}; export it again`);
  return /** @type {{atol: number, rtol: number}} */ (budget);
}

/**
 * Runs the golden texts through an encoder, or a pool of them, as training does, and compares the
 * vectors of `sequence_output` without those of padding.
 *
 * @param {import('./bundle.js').Bundle} bundle
 * @param {import('../tokenizer/index.js').Tokenizer} tokenizer
 * @param {Pick<import('../encoder/features.js').Encoder, 'sequences'>} encoder
 * @returns {Promise<Check>}
 * @throws {UserError} no golden cases
 */
export async function verifyVectors(bundle, tokenizer, encoder) {
  const { texts, tensors } = readGoldenCases(bundle);
  const { accuracy, outputs } = bundle.contract;
  const name = outputs.find(({ role }) => role === 'sequence_output')?.name ?? 'sequence_output';
  const expected = tensors[name];
  if (texts.length === 0 || !accuracy || expected === undefined) {
    throw new UserError(`${bundle.dir} has golden cases without texts, budget or ${name}; export it again`);
  }
  const encodings = texts.map((text) => tokenizer.encode(text));
  const rows = await encoder.sequences(encodings);
  const [, width, hidden] = expected.shape;
  const budget = findBudget(bundle, name);
  let maxAbs = 0;
  for (const [row, data] of rows.entries()) {
    const from = row * width * hidden;
    const shape = [data.length / hidden, hidden];
    const wanted = { shape, data: expected.data.subarray(from, from + data.length) };
    const { close, maxAbs: difference, problem } = compareTensors({ shape, data }, wanted, budget);
    if (!close) {
      const text = JSON.stringify(texts[row]);
      return {
        name,
        passed: false,
        maxAbs: difference,
        budget: budget.atol,
        rtol: budget.rtol,
        said: `${name} of ${text}: ${problem}`,
      };
    }
    maxAbs = Math.max(maxAbs, difference ?? 0);
  }
  return { name, passed: true, maxAbs, budget: budget.atol, rtol: budget.rtol, said: '' };
}

/**
 * The golden tensors of the first texts, cut to the width that these texts need.
 *
 * @param {Record<string, import('../support/safetensors.js').Tensor>} tensors
 * @param {import('./bundle.js').TensorSpec[]} outputs
 * @param {[number, number]} size number of rows, and positions of a row
 * @returns {Record<string, import('../support/safetensors.js').Tensor>}
 */
function takeFirstRows(tensors, outputs, [rows, width]) {
  const [, whole] = tensors.input_ids.shape;
  const cut = Object.entries(tensors).map(([name, tensor]) => {
    const { shape, data } = tensor;
    const spec = outputs.find((output) => output.name === name);
    const byPosition = spec === undefined || spec.shape[1] === 'sequence';
    const inner = shape.slice(byPosition ? 2 : 1).reduce((product, size) => product * size, 1);
    if (!byPosition) return [name, { ...tensor, shape: [rows, ...shape.slice(1)], data: data.slice(0, rows * inner) }];
    const copied = data.slice(0, rows * width * inner);
    for (let row = 0; row < rows; row += 1) {
      const from = row * whole * inner;
      copied.set(data.subarray(from, from + width * inner), row * width * inner);
    }
    return [name, { ...tensor, shape: [rows, width, ...shape.slice(2)], data: copied }];
  });
  return Object.fromEntries(cut);
}

/**
 * Sets an output to 0 at the masked positions. Their values have no meaning, and in trained models
 * they are ten times more sensitive to rounding than the rest.
 *
 * @template {{shape: number[], data: Float32Array | Int32Array}} T
 * @param {T} output
 * @param {{shape: number[], data: Float32Array | Int32Array} | undefined} mask int32[batch, sequence]
 * @returns {T}
 */
function zeroMaskedPositions(output, mask) {
  if (mask === undefined || String(output.shape.slice(0, 2)) !== String(mask.shape)) return output;
  const width = output.data.length / mask.data.length;
  const data = output.data.slice();
  mask.data.forEach((value, i) => value === 1 || data.fill(0, i * width, (i + 1) * width));
  return { ...output, data };
}

/**
 * @param {Record<string, {shape: number[], data: Int32Array}>} batch
 * @param {Record<string, import('../support/safetensors.js').Tensor>} tensors
 * @param {string[]} texts
 * @returns {Check}
 */
function compareIds(batch, tensors, texts) {
  for (const [role, { shape, data }] of Object.entries(batch)) {
    const expected = tensors[role];
    const same = expected !== undefined && String(shape) === String(expected.shape);
    const at = same ? data.findIndex((value, i) => value !== expected.data[i]) : 0;
    if (at !== -1) {
      const [row, column] = [Math.floor(at / shape[1]), at % shape[1]];
      const said = same
        ? `${role} of ${JSON.stringify(texts[row])}: got ${data[at]} at position ${column}, ` + `expected ${expected.data[at]}`
        : `${role}: got shape [${shape}], expected [${expected?.shape}]`;
      return { name: 'ids', passed: false, maxAbs: null, budget: 0, rtol: 0, said };
    }
  }
  return { name: 'ids', passed: true, maxAbs: 0, budget: 0, rtol: 0, said: '' };
}
