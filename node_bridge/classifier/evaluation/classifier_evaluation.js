/** Evaluates a classifier on the labelled texts of a data file. */
import { readExamples } from '../../data/examples.js';
import { UserError } from '../../support/errors.js';
import { Decisions } from './evaluation.js';
import { computeMetrics } from './metrics.js';
import { compareWrong } from './wrong_texts.js';

/** How many texts are labelled together at first, and at most. */
const FIRST_BATCH = 64;
const LARGEST_BATCH = 1024;

/**
 * @typedef {import('../../data/dataset.js').Dataset} Dataset
 * @typedef {import('./wrong_texts.js').WrongText} WrongText
 *
 * @typedef {object} Labeller the part of a Classifier that is needed
 * @property {string[]} labels
 * @property {import('../../data/text.js').Task | undefined} task
 * @property {(texts: import('../../data/text.js').GivenText[]) => Promise<import('../decisions/answers.js').Prediction[]>} predict
 *
 * @typedef {object} ClassifierEvaluation
 * @property {import('./metrics.js').Metrics} metrics
 * @property {import('./evaluation.js').ConfusionCounts} confusion
 * @property {WrongText[]} wrong all texts that were labelled wrongly, the most confident first
 */

/**
 * The texts are read one after another. What stays in memory is 16 bytes a text, and those that are wrong.
 *
 * @param {Labeller} classifier
 * @param {Dataset} dataset a whole file
 * @param {(count: number) => void} onTexts receives how many more texts are done
 * @returns {Promise<ClassifierEvaluation>}
 * @throws {UserError} the texts are of another task, or have a label that the classifier does not know
 */
export async function evaluateClassifier(classifier, dataset, onTexts) {
  const { labels, task } = classifier;
  if (task !== undefined && dataset.task !== task) {
    throw new UserError(`${dataset.path} holds ${dataset.task} texts, but the classifier takes ${task} ones; expected the same`);
  }
  const targets = dataset.targets(labels, {
    where: 'unknown to the classifier',
    texts: 'texts',
    remedy: 'take them out, or train a classifier that knows the label',
  });
  const decisions = new Decisions(labels.length, dataset.count);
  /** @type {WrongText[]} in the order of the file */
  const wrong = [];
  for await (const examples of readBatches(dataset)) {
    const answers = await classifier.predict(examples.map(({ text, pair }) => (pair === undefined ? text : { text, pair })));
    answers.forEach(({ label: predicted, probability, probabilities, ...texts }, i) => {
      const target = targets[decisions.count];
      decisions.add(
        Float32Array.from(labels, (name) => probabilities[name]),
        target,
      );
      if (predicted === labels[target]) return;
      wrong.push({ line: examples[i].line, label: labels[target], predicted, probability, ...texts });
    });
    onTexts(examples.length);
  }
  const evaluation = decisions.summarize();
  wrong.sort(compareWrong);
  return { metrics: computeMetrics(evaluation, labels), confusion: evaluation.confusion, wrong };
}

/**
 * The examples of a file in batches. The first ones are small, so that progress is soon to be seen; large ones
 * are faster, since texts of the same length are encoded together.
 *
 * @param {Dataset} dataset
 * @returns {AsyncGenerator<import('../../data/examples.js').Example[]>}
 * @throws {UserError} the file has changed since it was checked
 */
async function* readBatches({ path, layout, count }) {
  /** @type {import('../../data/examples.js').Example[]} */
  let batch = [];
  let [size, done] = [FIRST_BATCH, 0];
  for await (const example of readExamples(path, layout)) {
    batch.push(example);
    done += 1;
    if (done > count) break;
    if (batch.length < size) continue;
    yield batch;
    batch = [];
    size = Math.min(2 * size, LARGEST_BATCH);
  }
  if (done !== count) throw new UserError(`${path} has changed while it was read; run the command again`);
  if (batch.length > 0) yield batch;
}
