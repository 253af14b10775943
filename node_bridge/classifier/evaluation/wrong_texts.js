/** The texts that a classifier labels wrongly, the most confident ones first. */

/** How many of them the JSON document of an evaluation has. */
export const MAX_SHOWN_TEXTS = 50;

/**
 * @typedef {object} Wrong
 * @property {number} line in the data file
 * @property {string} label the true one
 * @property {string} predicted
 * @property {number} probability of the predicted label
 *
 * @typedef {Wrong & import('../../data/text.js').NamedText} WrongText without a text where it must not be kept
 */

/** The order of wrong texts: by confidence, and of equal ones by line. @param {Wrong} one @param {Wrong} other */
export function compareWrong(one, other) {
  return other.probability - one.probability || one.line - other.line;
}

/** The order of texts by how far off their answers are, and of equal ones by line. @param {{error: number, line: number}} one @param {{error: number, line: number}} other */
export function compareByError(one, other) {
  return other.error - one.error || one.line - other.line;
}

/**
 * The most confident of the wrong texts by their lines, without the texts: the page of a training is
 * published with the classifier, which holds none of its texts.
 *
 * @param {import('./evaluation.js').Decisions} decisions of the examples of `dataset`
 * @param {import('../../data/dataset.js').Dataset} dataset
 * @param {string[]} labels
 * @param {number} most
 * @returns {Promise<Wrong[]>}
 */
export async function locateWrongTexts({ count, targets, predictions, confidences }, dataset, labels, most) {
  const examples = Array.from({ length: count }, (_, i) => i)
    .filter((i) => targets[i] !== predictions[i])
    .sort((a, b) => confidences[b] - confidences[a] || a - b)
    .slice(0, most);
  const lines = await dataset.linesOf(examples);
  return examples.map((i, rank) => ({
    line: lines[rank],
    label: labels[targets[i]],
    predicted: labels[predictions[i]],
    probability: confidences[i],
  }));
}
