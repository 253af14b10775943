/** Several labels of a text, and numbers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readLabelSet, readNumbers } from '../../node_bridge/data/targets.js';
import { UserError } from '../../node_bridge/support/errors.js';

const INDICES = new Map([
  ['体育', 0],
  ['财经', 1],
  ['3', 2],
]);

test('labels: a list or a separated string, in any order, each once', () => {
  for (const value of [['财经', '体育'], [' 财经 ', '体育', '财经'], '财经|体育', ' 体育 |财经|', '体育||财经'])
    assert.deepEqual(readLabelSet(value, INDICES, '|'), [0, 1], JSON.stringify(value));
  assert.deepEqual(readLabelSet('体育, 财经', INDICES, ','), [0, 1]);
  assert.deepEqual(readLabelSet('体育 / 3.0', INDICES, ' / '), [0, 2]);
  for (const value of [[3], 3, '3', '3.0', ['3.0']]) assert.deepEqual(readLabelSet(value, INDICES, '|'), [2]);
  for (const value of [[], '', '  ', '|']) assert.deepEqual(readLabelSet(value, INDICES, '|'), []);
});

for (const [value, message] of /** @type {[unknown, RegExp][]} */ ([
  [
    '体育,财经',
    /^the label "体育,财经" is unknown .* expected some of 体育, 财经, 3; labels are separated by "\|", see --label-separator$/,
  ],
  [['体育', '__proto__'], /^the label "__proto__" is unknown/],
  [undefined, /^got no `label`, expected `label` to be a list of labels, or a string with "\|" between them$/],
  [null, /^got label null/],
  [[null], /^got label \[null\]/],
  [['体育', ''], /^got label/],
  [[1.5], /^got label/],
  [{ 体育: 1 }, /^got label \{"体育":1\}/],
  [true, /^got label true/],
]))
  test(`no labels: ${JSON.stringify(value)}`, () => {
    assert.throws(
      () => readLabelSet(value, INDICES, '|'),
      (error) => error instanceof UserError && message.test(error.message),
    );
  });

test('numbers: one, a list, an object by label, or a separated string', () => {
  for (const value of [1.5, [1.5], '1.5', ' 1.5 ', '15e-1', { stars: 1.5 }])
    assert.deepEqual(readNumbers(value, ['stars'], '|'), [1.5], JSON.stringify(value));
  for (const value of [[1, -2], '1|-2', '1.|-2.0', { b: -2, a: 1 }])
    assert.deepEqual(readNumbers(value, ['a', 'b'], '|'), [1, -2]);
});

for (const value of [
  undefined,
  null,
  '',
  'x',
  '0x10',
  'Infinity',
  '1e999',
  1e101,
  NaN,
  true,
  [],
  [1, 2],
  {},
  { other: 1 },
  [null],
  '1|2',
])
  test(`no number: ${typeof value} ${JSON.stringify(value)}`, () => {
    assert.throws(() => readNumbers(value, ['stars'], '|'), /expected `label` to be a number$/);
  });

test('numbers of several labels are asked for in their order', () => {
  assert.throws(
    () => readNumbers(1, ['a', 'b'], '|'),
    new UserError('got label 1, expected `label` to be 2 numbers, a list or with "|" between them, in the order a, b'),
  );
  assert.throws(() => readNumbers({ a: 1, toString: 2 }, ['a', 'b'], '|'), UserError);
});
