/** Entities of tags: the expected ones are those of seqeval's rules for IOB2 and IOBES in strict mode, read by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { findEntities, tagSpans, tagUnits } from '../../node_bridge/classifier/evaluation/tasks/tags.js';
import { splitLabel } from '../../node_bridge/classifier/decisions/spans.js';

/** @typedef {import('../../node_bridge/classifier/evaluation/tasks/tags.js').Scheme} Scheme */

/** @param {string} tags @param {Scheme} scheme */
const parse = (tags, scheme) => tags.split(' ').map((tag) => splitLabel(tag, scheme));

/** Tags as text. @param {{prefix: string, type: string}[]} tags */
const format = (tags) => tags.map(({ prefix, type }) => [prefix, type].filter((part) => part !== '').join('-')).join(' ');

/** Each character is a unit. @param {number} count */
const units = (count) => Array.from({ length: count }, (_, i) => ({ start: i, end: i + 1 }));

for (const [scheme, tags, expected] of /** @type {[Scheme, string, string[]][]} */ ([
  ['BIO', 'B-A I-A O B-B', ['A 0-2', 'B 3-4']],
  ['BIO', 'B-A B-A I-A', ['A 0-1', 'A 1-3']],
  // An I that continues nothing, or another type, is in no entity.
  ['BIO', 'I-A I-A O', []],
  ['BIO', 'O I-A B-A', ['A 2-3']],
  ['BIO', 'B-A I-B I-B', ['A 0-1']],
  ['BIO', 'B I O B', [' 0-2', ' 3-4']],
  ['BIOES', 'B-A I-A E-A S-B', ['A 0-3', 'B 3-4']],
  ['BIOES', 'B-A E-A E-A', ['A 0-2']],
  // What does not end is in no entity, and what follows is read on its own.
  ['BIOES', 'B-A I-A O S-A', ['A 3-4']],
  ['BIOES', 'B-A B-A E-A', ['A 1-3']],
  ['BIOES', 'B-A I-A E-B', []],
  ['BIOES', 'B-A', []],
  ['BIOES', 'I-A E-A S-A I-A', ['A 2-3']],
  // M, of BMES, is I.
  ['BIOES', 'B M M E S', [' 0-4', ' 4-5']],
  // Without prefixes each run of equal labels is one.
  ['none', 'A A O A B B', ['A 0-2', 'A 3-4', 'B 4-6']],
  ['none', 'B-A B-A', ['B-A 0-2']],
  ['BIO', 'noun noun B-A I-A noun', ['noun 0-2', 'A 2-4', 'noun 4-5']],
]))
  test(`${scheme}: ${tags}`, () => {
    const found = findEntities(parse(tags, scheme), scheme).map(({ type, start, end }) => `${type} ${start}-${end}`);
    assert.deepEqual(found, expected);
  });

test('spans become the tags of their scheme', () => {
  const spans = [
    { start: 0, end: 1, label: 'A' },
    { start: 1, end: 3, label: 'A' },
    { start: 4, end: 7, label: 'B' },
  ];
  const tagged = (/** @type {Scheme} */ scheme, hasPrefix = true) => format(tagSpans(units(8), spans, scheme, () => hasPrefix));
  assert.equal(tagged('BIO'), 'B-A B-A I-A O B-B I-B I-B O');
  assert.equal(tagged('BIOES'), 'S-A B-A E-A O B-B I-B E-B O');
  assert.equal(tagged('none'), 'A A A O B B B O');
  assert.equal(tagged('BIO', false), 'A A A O B B B O');
});

test('a word spreads its tag over its characters, and a token of several words has the tag of the first', () => {
  /** @param {[number, number, string][]} words */
  const place = (...words) =>
    words.map(([start, end, label]) => ({ start, end, tag: splitLabel(label, 'BIOES'), probability: 1 }));
  const tagged = (/** @type {ReturnType<typeof place>} */ words, of = units(6)) =>
    format(tagUnits(of, words).map(({ tag }) => tag));
  assert.equal(tagged(place([0, 4, 'S-T'], [4, 5, 'O'])), 'B-T I-T I-T E-T O O');
  assert.equal(tagged(place([0, 3, 'B-T'], [3, 6, 'E-T'])), 'B-T I-T I-T I-T I-T E-T');
  assert.equal(tagged(place([1, 3, 'I-T'], [3, 4, 'S-T'])), 'O I-T I-T S-T O O');
  const tokens = [
    { start: 0, end: 5 },
    { start: 5, end: 6 },
  ];
  assert.equal(tagged(place([0, 2, 'B-T'], [2, 3, 'O'], [3, 5, 'S-U'], [5, 6, 'E-T']), tokens), 'B-T E-T');
  // What the tokenizer leaves out, and what was cut off, has no probability.
  assert.deepEqual(
    tagUnits(units(3), place([1, 2, 'S-T'])).map(({ probability }) => probability),
    [undefined, 1, undefined],
  );
});
