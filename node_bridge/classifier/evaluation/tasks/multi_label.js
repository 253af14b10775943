/** The evaluation of a classifier of which any number of labels is right. */
import { readTexts } from '../../../data/examples.js';
import { readLabelSet } from '../../../data/targets.js';
import { CalibrationCounter } from '../calibration.js';
import { computeMacroF1, EPSILON, wilsonInterval95 } from '../evaluation.js';
import { answerTexts, assertTaskOf, checkTexts } from '../labelled_texts.js';
import { computeLabelFigures, computeMicroFigures } from '../metrics.js';
import { ThresholdCounter } from '../thresholds.js';
import { compareByError, MAX_SHOWN_TEXTS } from '../wrong_texts.js';
import { formatMultiLabel, describeBaseline, formatMultiLabelSummary, renderMultiLabel } from './multi_label_report.js';

/**
 * @typedef {import('../labelled_texts.js').Example & {target: number[]}} LabelSetExample `target`: indices of its labels
 * @typedef {import('../../decisions/answers.js').MultiLabelPrediction} Answer
 * @typedef {import('./index.js').OnColumns} OnColumns
 *
 * @typedef {object} WrongLabels
 * @property {number} line in the data file
 * @property {string[]} labels the true ones
 * @property {string[]} predicted the most probable first
 * @property {string[]} missing labels that were not predicted
 * @property {string[]} extra labels that are not true
 * @property {number} error of the label that is furthest off: 1 minus its probability if it is missing, its
 *   probability if it is extra
 *
 * @typedef {WrongLabels & import('../../../data/text.js').NamedText} WrongSet
 *
 * @typedef {object} MultiLabelFigures the fields of the JSON document
 * @property {number} texts
 * @property {number} right texts whose labels are exactly the true ones
 * @property {number} subset_accuracy
 * @property {[number, number]} subset_accuracy_interval Wilson's, 95 %
 * @property {number | null} micro_precision
 * @property {number | null} micro_recall
 * @property {number | null} micro_f1
 * @property {number | null} macro_f1 null if no label is true or predicted
 * @property {number} loss mean binary cross-entropy of all pairs of a text and a label
 * @property {{labels: string[], subset_accuracy: number}} majority always the commonest set of labels
 * @property {import('../metrics.js').LabelFigures[]} labels
 * @property {import('../calibration.js').Calibration} calibration of the probabilities of all such pairs
 * @property {{current: number, best: import('../thresholds.js').ThresholdPoint,
 *   points: import('../thresholds.js').ThresholdPoint[]}} thresholds one threshold for all labels; `current`: the
 *   classifier's; precision, recall and F1 are micro-averaged
 */

/** @type {import('./index.js').EvaluationTask<any, import('../labelled_texts.js').LabelledTexts<LabelSetExample>>} */
export const MULTI_LABEL = {
  async read(path, { layout, separator }, classifier, onColumns) {
    const indices = new Map(classifier.labels.map((/** @type {string} */ label, /** @type {number} */ i) => [label, i]));
    const readTarget = (/** @type {unknown} */ value) => ({ target: readLabelSet(value, indices, separator) });
    const texts = await checkTexts(path, (/** @type {OnColumns} */ more) => readTexts(path, layout, readTarget, more), onColumns);
    assertTaskOf(classifier, texts);
    return texts;
  },

  async evaluate(classifier, texts, onTexts) {
    const { labels, threshold } = classifier;
    const counts = new LabelSetCounts(labels, threshold);
    for await (const { example, answer } of answerTexts(classifier, texts, onTexts))
      counts.add(example, /** @type {Answer} */ (answer));
    const { figures, wrong } = counts.summarize();
    return {
      figures: { ...figures, most_confident_errors: wrong.slice(0, MAX_SHOWN_TEXTS) },
      wrong,
      lines: formatMultiLabel(figures, wrong.at(0)),
      summary: formatMultiLabelSummary(figures),
      facts: [['majority baseline', describeBaseline(figures)]],
      sections: renderMultiLabel(figures, wrong),
    };
  },
};

/** Counts answers to texts. Memory grows with the labels and with the texts that are wrong. */
class LabelSetCounts {
  #labels;
  #threshold;
  #counts;
  #calibration = new CalibrationCounter();
  #thresholds = new ThresholdCounter();
  /** @type {Map<string, number>} how many texts have a set of labels, by its indices */
  #sets = new Map();
  #texts = 0;
  #loss = 0;
  /** @type {WrongSet[]} in the order of the file */
  #wrong = [];

  /** @param {string[]} labels @param {number} threshold of the classifier */
  constructor(labels, threshold) {
    this.#labels = labels;
    this.#threshold = threshold;
    const [truths, predictions, right] = [0, 0, 0].map(() => new Int32Array(labels.length));
    this.#counts = { truths, predictions, right };
  }

  /** @param {LabelSetExample} example @param {Answer} answer */
  add({ line, target }, { labels: predicted, probabilities, ...text }) {
    const isTrue = new Set(target);
    const isPredicted = new Set(predicted);
    let error = 0;
    const [missing, extra] = [/** @type {string[]} */ ([]), /** @type {string[]} */ ([])];
    for (const [i, label] of this.#labels.entries()) {
      const probability = probabilities[label];
      const [truth, chosen] = [isTrue.has(i), isPredicted.has(label)];
      this.#calibration.add(probability, truth);
      this.#thresholds.add(probability, truth);
      this.#loss -= Math.log(Math.max(truth ? probability : 1 - probability, EPSILON));
      this.#counts.truths[i] += Number(truth);
      this.#counts.predictions[i] += Number(chosen);
      this.#counts.right[i] += Number(truth && chosen);
      if (truth === chosen) continue;
      (truth ? missing : extra).push(label);
      error = Math.max(error, truth ? 1 - probability : probability);
    }
    const key = target.join();
    this.#sets.set(key, (this.#sets.get(key) ?? 0) + 1);
    this.#texts += 1;
    if (missing.length + extra.length === 0) return;
    const labels = target.map((i) => this.#labels[i]);
    this.#wrong.push({ line, labels, predicted, missing, extra, error, ...text });
  }

  /** @returns {{figures: MultiLabelFigures, wrong: WrongSet[]}} `wrong`: the most confident first */
  summarize() {
    const [labels, counts, texts] = [this.#labels, this.#counts, this.#texts];
    const right = texts - this.#wrong.length;
    const macroF1 = computeMacroF1(counts);
    const [commonest, having] = [...this.#sets].reduce((most, set) => (set[1] > most[1] ? set : most));
    return {
      figures: {
        texts,
        right,
        subset_accuracy: right / texts,
        subset_accuracy_interval: wilsonInterval95(right / texts, texts),
        ...computeMicroFigures(counts),
        macro_f1: Number.isNaN(macroF1) ? null : macroF1,
        loss: this.#loss / (texts * labels.length),
        majority: {
          labels: commonest === '' ? [] : commonest.split(',').map((i) => labels[Number(i)]),
          subset_accuracy: having / texts,
        },
        labels: computeLabelFigures(counts, labels),
        calibration: this.#calibration.summarize(),
        thresholds: { current: this.#threshold, ...this.#thresholds.summarize() },
      },
      wrong: this.#wrong.sort(compareByError),
    };
  }
}
