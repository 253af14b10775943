/** What evaluate.js does for each kind of problem: reads the data, answers the texts, and counts. */
import { MULTI_LABEL } from './multi_label.js';
import { REGRESSION } from './regression.js';
import { SINGLE_LABEL } from './single_label.js';
import { TOKEN_LABELS } from './token_labels.js';

/**
 * @typedef {((line: string) => void) | undefined} OnColumns receives a message about the columns
 *
 * @typedef {object} DataOptions what the user says about the data
 * @property {import('../../../data/rows.js').FileLayout} layout
 * @property {string} separator between the labels, or numbers, of a string
 *
 * @typedef {object} Evaluated
 * @property {object} figures fields of the JSON document
 * @property {object[]} wrong the lines of errors.jsonl
 * @property {string[]} lines of the terminal
 * @property {string} summary the most important figures, in words
 * @property {[string, string][]} facts for the page
 * @property {string[]} sections of the page, as HTML
 */

/**
 * @template C a classifier
 * @template {{count: number, task: import('../../../data/text.js').Task}} D
 * @typedef {object} EvaluationTask
 * @property {(path: string, options: DataOptions, classifier: C, onColumns: (line: string) => void) => Promise<D>} read
 *   checks the whole file; throws a UserError if it does not fit the classifier
 * @property {(classifier: C, data: D, onTexts: (count: number) => void) => Promise<Evaluated>} evaluate
 *   `onTexts` receives how many more texts are done
 */

/** @type {Record<import('../../decisions/answers.js').ProblemType, EvaluationTask<any, any>>} */
export const TASKS = {
  single_label: SINGLE_LABEL,
  multi_label: MULTI_LABEL,
  regression: REGRESSION,
  token_labels: TOKEN_LABELS,
};
