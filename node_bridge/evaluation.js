/** How good a classifier is on texts whose labels are known. */

/** Keras's clip: a probability of 0 costs 16.1, not Infinity. */
const EPSILON = 1e-7;

/** @typedef {{loss: number, accuracy: number, predictions: Int32Array}} Evaluation */

/**
 * @param {{probabilities: (features: Float32Array[]) => Promise<Float32Array[]>}} classifier
 * @param {Float32Array[]} features float32[hidden] for each text
 * @param {Int32Array} targets int32[texts], places among the labels
 * @returns {Promise<Evaluation>} `predictions` are places among the labels, too
 */
export async function evaluate(classifier, features, targets) {
  const rows = await classifier.probabilities(features);
  const predictions = Int32Array.from(rows, mostProbable);
  const right = predictions.filter((place, i) => place === targets[i]).length;
  const losses = rows.map((row, i) => -Math.log(Math.max(row[targets[i]], EPSILON)));
  const loss = losses.reduce((sum, each) => sum + each, 0) / rows.length;
  return { loss, accuracy: right / rows.length, predictions };
}

/** The first of the highest. @param {Float32Array} row */
export function mostProbable(row) {
  return row.indexOf(Math.max(...row));
}
