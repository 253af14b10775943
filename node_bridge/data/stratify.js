/** Picks a part of labelled texts that has the same shares of labels as the whole. */
import { KEY_WORDS, KeyTable } from './text_keys.js';

/**
 * Picks the part. Equal texts go together and count for the label of the first of them. The texts and
 * the seed decide, not the order in the file.
 *
 * @param {object} data
 * @param {Int32Array} data.keys int32[examples, 4]
 * @param {Int32Array} data.labels int32[examples], indices in `names`
 * @param {string[]} data.names the labels
 * @param {number} data.share size of the part, between 0 and 1
 * @param {number} data.seed
 * @returns {Uint8Array} uint8[examples], 1 for those in the part; every label has at least one 0
 */
export function pickStratifiedPart({ keys, labels, names, share, seed }) {
  const { count, first, sizes } = groupByKey(keys);
  const ranks = new Float64Array(count);
  /** @type {number[][]} for each label its distinct texts, by their first example */
  const strata = names.map(() => []);
  const totals = names.map(() => 0);
  for (let i = 0; i < count; i += 1) {
    totals[labels[first[i]]] += 1;
    if (first[i] !== i) continue;
    strata[labels[i]].push(i);
    ranks[i] = computeRank(keys, i, seed);
  }
  const quotas = computeQuotas(totals, names, share);
  const isTaken = new Uint8Array(count);
  strata.forEach((texts, label) => {
    let taken = 0;
    texts.sort((a, b) => ranks[a] - ranks[b]);
    // One text of each label is left out, so the last is never taken.
    for (const text of texts.slice(0, -1)) {
      if (taken + sizes[text] / 2 > quotas[label]) continue;
      isTaken[text] = 1;
      taken += sizes[text];
    }
  });
  keepEveryLabel({ labels, first, isTaken, names });
  return isTaken.map((_, i) => isTaken[first[i]]);
}

/**
 * Groups the examples that have the same text.
 *
 * @param {Int32Array} keys int32[examples, 4]
 */
function groupByKey(keys) {
  const count = keys.length / KEY_WORDS;
  const table = new KeyTable();
  const first = new Int32Array(count);
  const sizes = new Int32Array(count);
  for (let i = 0; i < count; i += 1) {
    const key = keys.subarray(KEY_WORDS * i, KEY_WORDS * (i + 1));
    first[i] = table.add(key, i) ? i : /** @type {number} */ (table.get(key));
    sizes[first[i]] += 1;
  }
  return { count, first, sizes };
}

/** A pseudo-random number from a text and the seed. @param {Int32Array} keys @param {number} i @param {number} seed */
function computeRank(keys, i, seed) {
  // Keys are parts of a sha256; the last steps of MurmurHash3 mix the seed in.
  let mixed = keys[KEY_WORDS * i] ^ Math.imul(seed + 1, 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return ((mixed ^ (mixed >>> 16)) >>> 0) + (keys[KEY_WORDS * i + 1] >>> 0) / 2 ** 32;
}

/**
 * Computes how many examples of each label the part gets, by the largest remainder method: the sum is
 * the rounded share of all examples.
 *
 * @param {number[]} totals examples of each label
 * @param {string[]} names of the labels
 * @param {number} share
 */
function computeQuotas(totals, names, share) {
  const quotas = totals.map((total) => Math.floor(total * share));
  const all = totals.reduce((sum, total) => sum + total, 0);
  const missing = Math.round(all * share) - quotas.reduce((sum, quota) => sum + quota, 0);
  const remainder = (/** @type {number} */ label) => totals[label] * share - quotas[label];
  const order = totals.map((_, label) => label);
  order.sort((a, b) => remainder(b) - remainder(a) || (names[a] < names[b] ? -1 : 1));
  for (const label of order.slice(0, missing)) quotas[label] += 1;
  return quotas;
}

/**
 * Takes texts out of the part again if a label would be in the part only: a text may have several labels.
 *
 * @param {{labels: Int32Array, first: Int32Array, isTaken: Uint8Array, names: string[]}} data
 */
function keepEveryLabel({ labels, first, isTaken, names }) {
  const left = names.map(() => 0);
  labels.forEach((label, i) => (left[label] += 1 - isTaken[first[i]]));
  labels.forEach((label, i) => {
    if (left[label] === 0) {
      isTaken[first[i]] = 0;
      left[label] = 1;
    }
  });
}
