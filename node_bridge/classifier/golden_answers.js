/**
 * Checks a classifier against its golden answers: its answers at the end of training. Apart from classifier.js,
 * whose type declarations are the package's and must not reach those of TF.js.
 */
import { checksumCheck, findChangedWeights } from '../bundle/golden_cases.js';
import { compareTensors } from '../support/closeness.js';
import { UserError } from '../support/errors.js';
import { hashWeights } from './classifier_files.js';

/**
 * How far probabilities may differ from those of the training, which may have run on another backend.
 * Measured between wasm, cpu and native: 2e-6 (albert_tiny, head dense).
 */
const BUDGET = { atol: 1e-4, rtol: 0 };

/**
 * @param {string} dir for messages
 * @param {ReturnType<typeof import('./classifier_files.js').readClassifier>} stored its files
 * @param {import('./classifier.js').Classifier} classifier
 * @returns {Promise<import('../bundle/golden_cases.js').Check[]>} of the probabilities, of the labels,
 *   and of the weights' checksums if it has them
 * @throws {UserError} it has no golden answers
 */
export async function verifyClassifier(dir, { description, artifacts }, classifier) {
  const { golden = [], labels, checksums } = description;
  if (golden.length === 0) throw new UserError(`${dir} has no golden answers; train it again to get them`);
  const predictions = await classifier.predict(
    golden.map(({ label: _, probabilities: __, ...text }) => /** @type {any} */ (text)),
  );
  const rows = (/** @type {number[][]} */ values) => ({
    shape: [golden.length, labels.length],
    data: Float32Array.from(values.flat()),
  });
  const got = rows(
    predictions.map(({ probabilities }) => labels.map((label) => /** @type {Record<string, number>} */ (probabilities)[label])),
  );
  const { close, maxAbs, problem } = compareTensors(got, rows(golden.map(({ probabilities }) => probabilities)), BUDGET);
  const other = predictions.findIndex(({ label }, i) => label !== golden[i].label && !isTie(golden[i].probabilities));
  const labelSaid =
    other === -1
      ? ''
      : `golden text ${other + 1}: got ${JSON.stringify(predictions[other].label)}, expected ${JSON.stringify(golden[other].label)}`;
  const { weightSpecs = [], weightData } = artifacts;
  const weights = hashWeights(weightSpecs, new Uint8Array(/** @type {ArrayBuffer} */ (weightData)));
  return [
    { name: 'probabilities', passed: close, maxAbs, budget: BUDGET.atol, rtol: BUDGET.rtol, said: problem },
    { name: 'labels', passed: other === -1, maxAbs: null, budget: 0, rtol: 0, said: labelSaid },
    ...(checksums === undefined ? [] : [checksumCheck(findChangedWeights(weights, checksums, 'trained'), 'trained')]),
  ];
}

/** Whether rounding may decide between the two most probable labels. @param {number[]} probabilities */
function isTie(probabilities) {
  const [first, second] = [...probabilities].sort((a, b) => b - a);
  return first - second <= 2 * BUDGET.atol;
}
