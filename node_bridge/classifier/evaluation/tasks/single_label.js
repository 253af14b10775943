/** The evaluation of a classifier of which one label is right. */
import { Dataset } from '../../../data/dataset.js';
import { evaluateClassifier } from '../classifier_evaluation.js';
import { WRONG_TEXTS } from '../evaluation_files.js';
import { formatEvaluation, formatPercent } from '../evaluation_messages.js';
import { formatSummary, renderEvaluation } from '../single_label_page.js';
import { MAX_SHOWN_TEXTS } from '../wrong_texts.js';

/** @type {import('./index.js').EvaluationTask<import('../classifier_evaluation.js').Labeller, Dataset>} */
export const SINGLE_LABEL = {
  read: (path, { layout }, _, onColumns) => Dataset.read(path, layout, { onColumns }),

  async evaluate(classifier, dataset, onTexts) {
    const { metrics, confusion, wrong } = await evaluateClassifier(classifier, dataset, onTexts);
    return {
      figures: { ...metrics, most_confident_errors: wrong.slice(0, MAX_SHOWN_TEXTS) },
      wrong,
      lines: formatEvaluation(metrics, confusion, wrong.at(0)),
      summary: formatSummary(metrics),
      facts: [['majority baseline', describeMajority(metrics.majority)]],
      sections: renderEvaluation({ metrics, wrong, allWrong: `All of them are in ${WRONG_TEXTS}.` }),
    };
  },
};

/** Where the baseline comes from: a classifier does not say which label was the commonest in training. @param {{label: string, accuracy: number}} majority */
function describeMajority({ label, accuracy }) {
  return `${formatPercent(accuracy)}, always ${JSON.stringify(label)}: the commonest label of these texts, not of the training texts`;
}
