import assert from 'node:assert/strict';
import { test } from 'node:test';

import { splitJsonArray } from '../../node_bridge/data/json_rows.js';

/** @param {string} text @param {number} size of the chunks that come */
async function elements(text, size = text.length) {
  const chunks = async function* () {
    for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size);
  };
  const found = [];
  for await (const element of splitJsonArray(chunks(), 'a.json')) found.push(element);
  return found;
}

const VALUES = [
  { text: 'a "b", [c] {d}\\', label: 1 },
  { text: '}],\n"', nested: { deep: [[{}], '\\"'] }, label: '好' },
  [],
  'x,y',
  12.5,
  { 'key]': null },
];

test('elements equal those of JSON.parse, wherever the chunks end', async () => {
  for (const text of [JSON.stringify(VALUES), JSON.stringify(VALUES, null, 2), `\r\n [ ${JSON.stringify(VALUES[0])}\t]\n\n`]) {
    for (const size of [1, 2, 3, 7, 64, text.length]) {
      const got = (await elements(text, size)).map(({ content }) => JSON.parse(content));
      assert.deepEqual(got, JSON.parse(text));
    }
  }
  for (const empty of ['[]', ' [\n ] ']) assert.deepEqual(await elements(empty, 1), []);
});

test('each element has the line where it begins', async () => {
  for (const size of [1, 5, 100]) {
    const found = await elements('\n[\n {"a":\n1},\n\n {"b":2}, {"c":3}]\n', size);
    assert.deepEqual(
      found.map(({ line }) => line),
      [3, 6, 6],
    );
  }
});

test('an array that does not end, or has more text after its end, is refused', async () => {
  for (const text of ['[', '[{"a":1}', '[{"a":1},\n{"b":"]', '[{"a":[1]}\n']) {
    await assert.rejects(elements(text, 2), /a\.json:\d: the JSON array does not end/);
  }
  for (const text of ['[1] x', '[1]]', '[1]\n[2]', '[1],']) {
    await assert.rejects(elements(text, 2), /a\.json: got more after the end of the JSON array/);
  }
});

test('a large array is never in memory as a whole', async () => {
  let [sent, taken, most] = [0, 0, 0];
  const many = async function* () {
    yield '[';
    for (; sent < 100_000; sent += 1) yield `${sent > 0 ? ',' : ''}{"text":"${sent}"}`;
    yield ']';
  };
  for await (const { content } of splitJsonArray(many(), 'a.json')) {
    assert.equal(content, `{"text":"${taken}"}`);
    taken += 1;
    most = Math.max(most, sent - taken);
  }
  assert.equal(taken, 100_000);
  assert(most <= 2, String(most));
});
