/** Checks a classifier against its own golden answers: what it said at the end of its training. */
import { closeness } from './closeness.js';
import { UserError } from './errors.js';

/**
 * How far probabilities may be from those of the training, which may have run on another backend:
 * between wasm, cpu and native they were 2e-6 apart (albert_tiny, head dense, measured).
 */
const BUDGET = { atol: 1e-4, rtol: 0 };

/**
 * @param {string} dir for messages
 * @param {import('./classifier_files.js').Description} description
 * @param {import('./classifier.js').Classifier} classifier
 * @returns {Promise<import('./verification.js').Check[]>} of the probabilities, and of the labels
 * @throws {UserError} it has no golden answers
 */
export async function verifyClassifier(dir, { golden = [], labels }, classifier) {
  if (golden.length === 0) throw new UserError(`${dir} has no golden answers; train it again to get them`);
  const predictions = await classifier.predict(golden.map(({ label: _, probabilities: __, ...text }) => /** @type {any} */ (text)));
  const rows = (/** @type {number[][]} */ values) => ({ shape: [golden.length, labels.length], data: Float32Array.from(values.flat()) });
  const got = rows(predictions.map(({ probabilities }) => labels.map((label) => /** @type {Record<string, number>} */ (probabilities)[label])));
  const { close, maxAbs, said } = closeness(got, rows(golden.map(({ probabilities }) => probabilities)), BUDGET);
  const other = predictions.findIndex(({ label }, i) => label !== golden[i].label && !isTie(golden[i].probabilities));
  const labelSaid = other === -1 ? '' : `golden text ${other + 1}: got ${JSON.stringify(predictions[other].label)}, expected ${JSON.stringify(golden[other].label)}`;
  return [
    { name: 'probabilities', passed: close, maxAbs, budget: BUDGET.atol, rtol: BUDGET.rtol, said },
    { name: 'labels', passed: other === -1, maxAbs: null, budget: 0, rtol: 0, said: labelSaid },
  ];
}

/** Whether two labels are so near that rounding decides between them. @param {number[]} probabilities */
function isTie(probabilities) {
  const [first, second] = [...probabilities].sort((a, b) => b - a);
  return first - second <= 2 * BUDGET.atol;
}
