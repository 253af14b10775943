/** Evaluates a classifier of which one label is right on the labelled texts of a data file. */
import { readExamples } from '../../data/examples.js';
import { Decisions } from './evaluation.js';
import { answerTexts, assertTaskOf } from './labelled_texts.js';
import { computeMetrics } from './metrics.js';
import { compareWrong } from './wrong_texts.js';

/**
 * @typedef {import('../../data/dataset.js').Dataset} Dataset
 * @typedef {import('./wrong_texts.js').WrongText} WrongText
 * @typedef {import('./labelled_texts.js').Answering<import('../decisions/answers.js').Prediction> &
 *   {task: import('../../data/text.js').Task | undefined}} Labeller the part of a Classifier that is needed
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
 * @throws {import('../../support/errors.js').UserError} the texts are of another task, or have a label that
 *   the classifier does not know
 */
export async function evaluateClassifier(classifier, dataset, onTexts) {
  const { labels } = classifier;
  const { path, layout, count } = dataset;
  assertTaskOf(classifier, dataset);
  const targets = dataset.targets(labels, {
    where: 'unknown to the classifier',
    texts: 'texts',
    remedy: 'take them out, or train a classifier that knows the label',
  });
  const decisions = new Decisions(labels.length, count);
  /** @type {WrongText[]} in the order of the file */
  const wrong = [];
  const texts = { path, count, examples: () => readExamples(path, layout) };
  for await (const { example, answer } of answerTexts(classifier, texts, onTexts)) {
    const { label: predicted, probability, probabilities, ...named } = answer;
    const target = targets[decisions.count];
    decisions.add(
      Float32Array.from(labels, (name) => probabilities[name]),
      target,
    );
    if (predicted !== labels[target]) wrong.push({ line: example.line, label: labels[target], predicted, probability, ...named });
  }
  const evaluation = decisions.summarize();
  wrong.sort(compareWrong);
  return { metrics: computeMetrics(evaluation, labels), confusion: evaluation.confusion, wrong };
}
