/**
 * The vectors of many texts, one text at a time: held in memory or in a store on disk, plain or
 * scaled.
 */
import { scaleInPlace } from './scaling.js';

/**
 * @typedef {object} FeatureSet
 * @property {number} count texts
 * @property {number} hidden width of a vector
 * @property {(i: number) => number} positions vectors of a text: 1, or its positions
 * @property {(i: number, target: Float32Array, at: number) => void} copy puts a text's vectors,
 *   float32[positions, hidden], where they are wanted
 */

/**
 * @param {Float32Array[]} rows float32[positions, hidden] of each text
 * @param {number} hidden
 * @returns {FeatureSet}
 */
export function held(rows, hidden) {
  return {
    count: rows.length,
    hidden,
    positions: (i) => rows[i].length / hidden,
    copy: (i, target, at) => target.set(rows[i], at),
  };
}

/**
 * @param {import('./feature_store.js').FeatureStore} store
 * @param {import('./dataset.js').Texts} dataset whose texts are all in the store
 * @returns {FeatureSet}
 */
export function stored(store, dataset) {
  const places = Int32Array.from({ length: dataset.count }, (_, i) => {
    const place = store.find(dataset.key(i));
    if (place === undefined) throw new Error(`${dataset.path}: example ${i + 1} has changed while it was read`);
    return place;
  });
  return {
    count: dataset.count,
    hidden: store.hidden,
    positions: (i) => store.positions(places[i]),
    copy: (i, target, at) => store.copy(places[i], target, at),
  };
}

/**
 * @param {FeatureSet} features
 * @param {import('./scaling.js').Scaling} scaling
 * @returns {FeatureSet}
 */
export function scaled(features, scaling) {
  return {
    ...features,
    copy(i, target, at) {
      features.copy(i, target, at);
      scaleInPlace(target.subarray(at, at + features.positions(i) * features.hidden), scaling);
    },
  };
}
