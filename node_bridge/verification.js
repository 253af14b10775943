/**
 * Checks a bundle against its own golden cases: texts with the ids and outputs that Python's
 * TensorFlow gave for them when the bundle was made.
 */
import { budgetProblem, closeness } from './closeness.js';
import { UserError } from './errors.js';
import { readSafetensors } from './safetensors.js';

const GOLDEN = 'golden.safetensors';

/**
 * @typedef {object} Check
 * @property {string} name `ids`, or an output by its name
 * @property {boolean} passed
 * @property {number | null} maxAbs
 * @property {number} budget its `atol`; 0 for ids
 * @property {number} rtol what is allowed besides, of the expected value; 0 for ids
 * @property {string} said what is wrong; empty where nothing is
 */

/**
 * The golden cases of a bundle.
 *
 * @param {import('./bundle.js').Bundle} bundle
 * @returns {{texts: string[], tensors: Record<string, import('./safetensors.js').Tensor>}}
 * @throws {UserError} a bundle without golden cases
 */
export function goldenCases(bundle) {
  if (!Object.hasOwn(bundle.contract.files, GOLDEN)) {
    throw new UserError(`${bundle.dir} has no golden cases, so nothing can be verified; export it again`);
  }
  const { tensors, metadata } = readSafetensors(bundle.read(GOLDEN), GOLDEN);
  return { texts: JSON.parse(metadata.texts ?? '[]'), tensors };
}

/**
 * @param {import('./bundle.js').Bundle} bundle
 * @param {import('./tokenizer/index.js').Tokenizer} tokenizer
 * @param {import('./encoder.js').Encoder} encoder
 * @returns {Promise<Check[]>} the ids first, then each output of the contract
 * @throws {UserError} no golden cases, or no budget that is one
 */
export async function verify(bundle, tokenizer, encoder) {
  const { texts, tensors } = goldenCases(bundle);
  const { accuracy, outputs, padding } = bundle.contract;
  if (texts.length === 0 || !accuracy) {
    throw new UserError(`${bundle.dir} has golden cases without texts or budget; export it again`);
  }
  const budgets = outputs.map(({ name }) => budgetOf(bundle, name));
  const encodings = texts.map((text) => tokenizer.encode(text));
  const checks = [checkIds(encoder.pad(encodings), tensors, texts)];
  const got = await encoder.run(encodings);
  const mask = padding === 'masked' ? tensors.attention_mask : undefined;
  for (const [i, { name }] of outputs.entries()) {
    const { atol, rtol } = budgets[i];
    const expected = tensors[name];
    const measured = expected
      ? closeness(visible(got[name], mask), visible(expected, mask), budgets[i])
      : { close: false, maxAbs: null, said: 'the golden cases have no such output' };
    const { close, maxAbs, said } = measured;
    checks.push({ name, passed: close, maxAbs, budget: atol, rtol, said });
  }
  return checks;
}

/**
 * What a runtime may be off at an output: its own budget, or the one for all that older bundles have.
 *
 * @param {import('./bundle.js').Bundle} bundle
 * @param {string} name
 * @returns {{atol: number, rtol: number}}
 * @throws {UserError} the contract has none, or one that is no number
 */
function budgetOf(bundle, name) {
  const { accuracy } = bundle.contract;
  const budget = accuracy?.budgets ? accuracy.budgets[name] : accuracy?.budget;
  const problem = budgetProblem(budget);
  if (problem) throw new UserError(`${bundle.dir}: ${name}: ${problem}; export it again`);
  return /** @type {{atol: number, rtol: number}} */ (budget);
}

/**
 * An output with zeros at the masked positions, whose values mean nothing: in trained models they
 * are ten times more sensitive to rounding than the rest.
 *
 * @template {{shape: number[], data: Float32Array | Int32Array}} T
 * @param {T} output
 * @param {{shape: number[], data: Float32Array | Int32Array} | undefined} mask int32[batch, sequence]
 * @returns {T}
 */
function visible(output, mask) {
  if (mask === undefined || String(output.shape.slice(0, 2)) !== String(mask.shape)) return output;
  const width = output.data.length / mask.data.length;
  const data = output.data.slice();
  mask.data.forEach((value, i) => value === 1 || data.fill(0, i * width, (i + 1) * width));
  return { ...output, data };
}

/**
 * @param {Record<string, {shape: number[], data: Int32Array}>} batch
 * @param {Record<string, import('./safetensors.js').Tensor>} tensors
 * @param {string[]} texts
 * @returns {Check}
 */
function checkIds(batch, tensors, texts) {
  for (const [role, { shape, data }] of Object.entries(batch)) {
    const expected = tensors[role];
    const same = expected !== undefined && String(shape) === String(expected.shape);
    const at = same ? data.findIndex((value, i) => value !== expected.data[i]) : 0;
    if (at !== -1) {
      const [row, column] = [Math.floor(at / shape[1]), at % shape[1]];
      const said = same
        ? `${role} of ${JSON.stringify(texts[row])}: got ${data[at]} at position ${column}, ` +
          `expected ${expected.data[at]}`
        : `${role}: got shape [${shape}], expected [${expected?.shape}]`;
      return { name: 'ids', passed: false, maxAbs: null, budget: 0, rtol: 0, said };
    }
  }
  return { name: 'ids', passed: true, maxAbs: 0, budget: 0, rtol: 0, said: '' };
}
