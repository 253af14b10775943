/**
 * Tags of the parts of a text, and the entities that they make. An entity counts as in seqeval's strict mode
 * with the schemes IOB2 and IOBES: it begins with `B-X` (or is `S-X`) and goes on with tags of the same type;
 * in IOBES it ends with `E-X`. So `I-X` that continues nothing is no entity here, while predict.js shows it as
 * a span.
 */
import { splitLabel } from '../../decisions/spans.js';

/**
 * @typedef {import('../../decisions/spans.js').Scheme} Scheme
 * @typedef {ReturnType<typeof splitLabel>} Tag
 * @typedef {import('../../../data/token_examples.js').Unit} Unit
 *
 * @typedef {object} Entity
 * @property {string} type
 * @property {number} start index of its first tag
 * @property {number} end index after its last tag
 *
 * @typedef {Unit & {tag: Tag, probability: number}} Word a word of the model, and the label that counts for it
 */

const OUTSIDE = /** @type {Tag} */ ({ prefix: 'O', type: '' });

/**
 * @param {Tag[]} tags
 * @param {Scheme} scheme
 * @returns {Entity[]} in order; tags without a prefix make one of each run of equal ones
 *
 * @example
 * // B-PER I-PER O I-LOC B-LOC in BIO
 * // [{ type: 'PER', start: 0, end: 2 }, { type: 'LOC', start: 4, end: 5 }]
 */
export function findEntities(tags, scheme) {
  /** @type {Entity[]} */
  const entities = [];
  for (let start = 0; start < tags.length; ) {
    const { prefix, type } = tags[start];
    const continues = (/** @type {number} */ i, /** @type {Tag['prefix']} */ other) =>
      tags[i]?.prefix === other && tags[i].type === type;
    let end = start + 1;
    let isEntity = prefix === 'S' || prefix === '';
    if (prefix === '') while (continues(end, '')) end += 1;
    if (prefix === 'B') {
      while (continues(end, 'I')) end += 1;
      isEntity = scheme === 'BIO' || continues(end, 'E');
      if (scheme === 'BIOES' && isEntity) end += 1;
    }
    if (isEntity) entities.push({ type, start, end });
    start = end;
  }
  return entities;
}

/**
 * Writes spans of a text as tags, the way they would be labelled for training.
 *
 * @param {Unit[]} units
 * @param {import('../../../data/token_examples.js').LabelledSpan[]} spans in order, without overlaps
 * @param {Scheme} scheme
 * @param {(type: string) => boolean} hasPrefix whether labels of a type have a prefix
 * @returns {Tag[]} of each unit
 */
export function tagSpans(units, spans, scheme, hasPrefix) {
  const tags = units.map(() => OUTSIDE);
  let at = 0;
  for (const { start, end, label: type } of spans) {
    while (at < units.length && units[at].start < start) at += 1;
    const first = at;
    while (at < units.length && units[at].start < end) at += 1;
    const whole = hasPrefix(type) ? scheme : 'none';
    for (let i = first; i < at; i += 1) tags[i] = spread({ prefix: WHOLE[whole], type }, i - first, at - first);
  }
  return tags;
}

/** The prefix of an entity that is one unit. @type {Record<Scheme, Tag['prefix']>} */
const WHOLE = { BIO: 'B', BIOES: 'S', none: '' };

/**
 * Gives each unit the tag of the word that it lies in. A word of several units, as `2019` of characters, spreads
 * its tag over them; a unit of several words, as a token `COVID-19`, has the tag of the first.
 *
 * @param {Unit[]} units
 * @param {Word[]} words in order
 * @returns {{tag: Tag, probability: number | undefined}[]} of each unit; `O` without a probability where the
 *   model has no word, since the text was cut or the tokenizer leaves the character out
 */
export function tagUnits(units, words) {
  let next = 0;
  const found = units.map(({ start, end }) => {
    while (next < words.length && words[next].end <= start) next += 1;
    return next < words.length && words[next].start < end ? next : -1;
  });
  /** @type {{tag: Tag, probability: number | undefined}[]} */
  const tagged = [];
  for (let from = 0; from < found.length; ) {
    const word = words[found[from]];
    let to = from + 1;
    while (to < found.length && found[to] === found[from]) to += 1;
    for (let i = from; i < to; i += 1) {
      const tag = word === undefined ? OUTSIDE : spread(word.tag, i - from, to - from);
      tagged.push({ tag, probability: word?.probability });
    }
    from = to;
  }
  return tagged;
}

/**
 * The tag of one part of what has a tag as a whole.
 *
 * @param {Tag} tag
 * @param {number} i index of the part
 * @param {number} count how many parts there are
 * @returns {Tag}
 */
function spread({ prefix, type }, i, count) {
  const [isFirst, isLast] = [i === 0, i === count - 1];
  if (count === 1 || !'BES'.includes(prefix) || prefix === '') return { prefix, type };
  if (prefix === 'B') return { prefix: isFirst ? 'B' : 'I', type };
  if (isLast) return { prefix: 'E', type };
  return { prefix: isFirst && prefix === 'S' ? 'B' : 'I', type };
}
