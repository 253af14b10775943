/** The evaluation of a model that gives numbers. */
import { readTexts } from '../../../data/examples.js';
import { readNumbers } from '../../../data/targets.js';
import { divide } from '../calibration.js';
import { answerTexts, assertTaskOf, checkTexts } from '../labelled_texts.js';
import { compareByError, MAX_SHOWN_TEXTS } from '../wrong_texts.js';
import { correlatePearson, correlateSpearman, mean } from './correlation.js';
import { describeBaseline, formatRegression, formatRegressionSummary, renderRegression } from './regression_report.js';

/** How many texts with the largest errors errors.jsonl has. */
const MAX_ERRORS = 1000;

/**
 * @typedef {import('../labelled_texts.js').Example & {target: number[]}} NumberExample `target`: for each label
 * @typedef {import('../../decisions/answers.js').RegressionPrediction} Answer
 * @typedef {import('./index.js').OnColumns} OnColumns
 *
 * @typedef {object} Distance
 * @property {number} line in the data file
 * @property {Record<string, number>} true_values by label
 * @property {Record<string, number>} values the model's
 * @property {number} error the largest distance of the two
 *
 * @typedef {Distance & import('../../../data/text.js').NamedText} TextError
 *
 * @typedef {object} NumberFigures of one label; null where all numbers of a series are equal
 * @property {string} label
 * @property {number} mae mean absolute error
 * @property {number} rmse root of the mean squared error
 * @property {number | null} r2 1 minus the squared error divided by that of the baseline
 * @property {number | null} pearson
 * @property {number | null} spearman
 * @property {number} mean of the true numbers
 * @property {{mae: number, rmse: number}} baseline always that mean
 *
 * @typedef {object} RegressionFigures the fields of the JSON document
 * @property {number} texts
 * @property {NumberFigures[]} labels
 */

/** @type {import('./index.js').EvaluationTask<any, import('../labelled_texts.js').LabelledTexts<NumberExample>>} */
export const REGRESSION = {
  async read(path, { layout, separator }, classifier, onColumns) {
    const readTarget = (/** @type {unknown} */ value) => ({ target: readNumbers(value, classifier.labels, separator) });
    const texts = await checkTexts(path, (/** @type {OnColumns} */ more) => readTexts(path, layout, readTarget, more), onColumns);
    assertTaskOf(classifier, texts);
    return texts;
  },

  async evaluate(classifier, texts, onTexts) {
    /** @type {string[]} */
    const labels = classifier.labels;
    const series = labels.map(() => ({ truths: new Float64Array(texts.count), values: new Float64Array(texts.count) }));
    const errors = new LargestErrors();
    let count = 0;
    for await (const { example, answer } of answerTexts(classifier, texts, onTexts)) {
      const { values, ...text } = /** @type {Answer} */ (answer);
      for (const [i, label] of labels.entries()) {
        series[i].truths[count] = example.target[i];
        series[i].values[count] = values[label];
      }
      errors.add({ line: example.line, ...compareNumbers(labels, example.target, values), ...text });
      count += 1;
    }
    const figures = { texts: count, labels: labels.map((label, i) => computeNumberFigures(label, series[i])) };
    const largest = errors.summarize();
    return {
      figures: { ...figures, largest_errors: largest.slice(0, MAX_SHOWN_TEXTS) },
      wrong: largest,
      lines: formatRegression(figures, largest[0]),
      summary: formatRegressionSummary(figures),
      facts: [['baseline', describeBaseline(figures)]],
      sections: renderRegression(figures, series, largest),
    };
  },
};

/** @param {string[]} labels @param {number[]} target @param {Record<string, number>} values @returns {Omit<Distance, 'line'>} */
function compareNumbers(labels, target, values) {
  const error = labels.reduce((most, label, i) => Math.max(most, Math.abs(values[label] - target[i])), 0);
  return { true_values: Object.fromEntries(labels.map((label, i) => [label, target[i]])), values, error };
}

/**
 * @param {string} label
 * @param {{truths: Float64Array, values: Float64Array}} series the true numbers and the model's
 * @returns {NumberFigures}
 */
function computeNumberFigures(label, { truths, values }) {
  const middle = mean(truths);
  const [model, baseline] = [values, truths.map(() => middle)].map((numbers) => {
    const errors = truths.map((truth, i) => numbers[i] - truth);
    return { mae: mean(errors.map(Math.abs)), mse: mean(errors.map((error) => error ** 2)) };
  });
  const unexplained = divide(model.mse, baseline.mse);
  return {
    label,
    mae: model.mae,
    rmse: Math.sqrt(model.mse),
    r2: unexplained === null ? null : 1 - unexplained,
    pearson: correlatePearson(truths, values),
    spearman: correlateSpearman(truths, values),
    mean: middle,
    baseline: { mae: baseline.mae, rmse: Math.sqrt(baseline.mse) },
  };
}

/** The texts with the largest errors; memory does not grow with the others. */
class LargestErrors {
  /** @type {TextError[]} */
  #errors = [];

  /** @param {TextError} error */
  add(error) {
    this.#errors.push(error);
    if (this.#errors.length >= 2 * MAX_ERRORS) this.#errors = this.summarize();
  }

  /** The largest first. */
  summarize() {
    return this.#errors.sort(compareByError).slice(0, MAX_ERRORS);
  }
}
