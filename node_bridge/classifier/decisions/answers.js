/** Makes the answer to a text from the numbers of its labels, by the kind of problem. */
import { findMostProbable } from '../evaluation/evaluation.js';

/**
 * @typedef {import('../../data/text.js').NamedText} NamedText
 * @typedef {import('./bundle_head.js').Row} Row
 *
 * @typedef {{label: string, probability: number}} Ranked
 *
 * @typedef {object} Answer the answer to a text of which one label is right (`single_label`)
 * @property {string} label the most probable label
 * @property {number} probability of that label
 * @property {Record<string, number>} probabilities of every label
 * @property {Ranked[]} [top] the most probable labels in order, as many as the option `top` says
 *
 * @typedef {object} MultiLabelAnswer the answer to a text of which any number of labels is right (`multi_label`)
 * @property {string[]} labels those whose probability is the threshold or more, the most probable first;
 *   may be empty
 * @property {Record<string, number>} probabilities of every label; their sum is not 1
 * @property {Ranked[]} [top] the most probable labels in order, whatever the threshold
 *
 * @typedef {object} RegressionAnswer the numbers that a model gives to a text (`regression`)
 * @property {Record<string, number>} values by label
 *
 * @typedef {NamedText & Answer} Prediction
 * @typedef {NamedText & MultiLabelAnswer} MultiLabelPrediction
 * @typedef {NamedText & RegressionAnswer} RegressionPrediction
 *
 * @typedef {'single_label' | 'multi_label' | 'regression' | 'token_labels'} ProblemType
 *
 * @typedef {object} Decision what an answer needs of a head
 * @property {string[]} labels
 * @property {number} [threshold] of `multi_label`
 */

/** The fields that an answer may have with any options, beside those of its text. @type {Record<ProblemType, string[]>} */
export const ANSWER_FIELDS = {
  single_label: ['label', 'probability', 'probabilities', 'top'],
  multi_label: ['labels', 'probabilities', 'top'],
  regression: ['values'],
  token_labels: ['tokens', 'spans'],
};

/** @type {Record<Exclude<ProblemType, 'token_labels'>, (row: Row, decision: Decision, top: number) => object>} */
export const ANSWERS = { single_label: chooseLabel, multi_label: chooseLabels, regression: nameValues };

/**
 * @param {Row} row
 * @param {Decision} decision
 * @param {number} top
 * @returns {Answer}
 */
function chooseLabel(row, { labels }, top) {
  const best = findMostProbable(row);
  return { label: labels[best], probability: row[best], ...listProbabilities(row, labels, top) };
}

/**
 * @param {Row} row
 * @param {Decision} decision
 * @param {number} top
 * @returns {MultiLabelAnswer}
 */
function chooseLabels(row, { labels, threshold = 0 }, top) {
  const chosen = rankLabels(row, labels).filter(({ probability }) => probability >= threshold);
  return { labels: chosen.map(({ label }) => label), ...listProbabilities(row, labels, top) };
}

/** @param {Row} row @param {Decision} decision @returns {RegressionAnswer} */
function nameValues(row, { labels }) {
  return { values: nameNumbers(row, labels) };
}

/** @param {Row} row @param {string[]} labels @param {number} top */
function listProbabilities(row, labels, top) {
  const probabilities = nameNumbers(row, labels);
  return top > 0 ? { probabilities, top: rankLabels(row, labels).slice(0, top) } : { probabilities };
}

/** All labels, the most probable first; of equal ones the first label comes first. @param {Row} row @param {string[]} labels @returns {Ranked[]} */
function rankLabels(row, labels) {
  return labels.map((label, index) => ({ label, probability: row[index] })).sort((a, b) => b.probability - a.probability);
}

/** @param {Row} row @param {string[]} labels @returns {Record<string, number>} by label */
function nameNumbers(row, labels) {
  return Object.fromEntries(labels.map((label, index) => [label, row[index]]));
}
