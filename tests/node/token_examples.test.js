/** Data files with labels of tokens: spans, tokens with tags, and columns. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { readTokenExamples } from '../../node_bridge/data/token_examples.js';
import { UserError } from '../../node_bridge/support/errors.js';

const dir = mkdtempSync(join(tmpdir(), 'token-examples-'));
after(() => rmSync(dir, { recursive: true }));
const path = join(dir, 'data');

/** @param {string | object[]} content @param {string} [encoding] */
async function read(content, encoding) {
  writeFileSync(path, typeof content === 'string' ? content : content.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const examples = [];
  for await (const example of readTokenExamples(path, encoding)) examples.push(example);
  return examples;
}

test('a text with spans: its characters without white space, and the spans in order', async () => {
  const spans = [
    { start: 3, end: 5, label: 'LOC', text: '京都' },
    { start: 0, end: 1, label: 'PER' },
  ];
  const [{ text, line, units, tags, spans: found }] = await read([{ text: '张 在京都😀', spans }]);
  assert.deepEqual([text, line, tags], ['张 在京都😀', 1, undefined]);
  assert.deepEqual(
    units.map(({ start, end }) => text.slice(start, end)),
    ['张', '在', '京', '都', '😀'],
  );
  assert.deepEqual(found, [
    { start: 0, end: 1, label: 'PER' },
    { start: 3, end: 5, label: 'LOC' },
  ]);
});

test('tokens and tags: Chinese ones follow each other, words have a space between them', async () => {
  const textOf = async (/** @type {string[]} */ tokens) => {
    const [{ text, units, tags }] = await read([{ tokens, tags: tokens.map(() => 'O') }]);
    assert.deepEqual(
      units.map(({ start, end }) => text.slice(start, end)),
      tokens,
    );
    assert.equal(tags?.length, tokens.length);
    return text;
  };
  assert.equal(await textOf(['北', '京', '2', '0', '0', '8', '年']), '北京2008年');
  assert.equal(await textOf(['在', 'New', 'York', '的', 'a', 'cat', ',', '2008', '年']), '在New York的a cat,2008年');
  assert.equal(await textOf(['COVID', '-', '19']), 'COVID-19');
});

test('columns: a token and its tag a line, a blank line after each text', async () => {
  const expected = [
    ['张三', 1, ['B-PER', 'I-PER']],
    ['在', 4, ['O']],
  ];
  for (const content of [
    '张 B-PER\n三 I-PER\n\n在 O\n',
    '\ufeff张\tB-PER\r\n三\tI-PER\r\n\r\n在\tO',
    '张 NR _ B-PER \n三 NR _ I-PER\n \n在 P _ O\n\n\n',
  ]) {
    const examples = await read(content);
    assert.deepEqual(
      examples.map(({ text, line, tags }) => [text, line, tags]),
      expected,
      JSON.stringify(content),
    );
  }
  const [first] = await read('-DOCSTART- -X- O\n\n张 B-PER\n');
  assert.deepEqual([first.text, first.line], ['张', 3]);
  const latin = await read('EU B-ORG\nrejects O\n');
  assert.equal(latin[0].text, 'EU rejects');
});

test('a JSON array, and another encoding', async () => {
  const rows = [
    { tokens: ['a'], tags: ['O'] },
    { text: 'b', spans: [] },
  ];
  assert.deepEqual(
    (await read(JSON.stringify(rows, null, 1))).map(({ text, line }) => [text, line]),
    [
      ['a', 2],
      ['b', 10],
    ],
  );
  writeFileSync(path, Buffer.from([0xd5, 0xc5, 0x20, 0x4f, 0x0a])); // 张 O in GB18030
  const examples = [];
  for await (const example of readTokenExamples(path, 'gb18030')) examples.push(example.text);
  assert.deepEqual(examples, ['张']);
});

for (const [name, content, message] of /** @type {[string, string | object[], RegExp][]} */ ([
  [
    'no labels',
    [{ text: 'a', label: 'x' }],
    /data:1: got fields text, label, expected `text` and `spans`, or `tokens` and `tags`$/,
  ],
  ['a pair', [{ sentence1: 'a', sentence2: 'b', spans: [] }], /:1: got a pair, expected a single `text`/],
  ['fewer tags', [{ tokens: ['a', 'b'], tags: ['O'] }], /:1: got 2 tokens and 1 tags/],
  ['an empty token', [{ tokens: ['a', ''], tags: ['O', 'O'] }], /:1: token 2 is empty/],
  ['tokens that are no strings', [{ tokens: [1], tags: ['O'] }], /got \[1\], expected `tokens` to be a list of strings/],
  ['tags that are numbers', [{ tokens: ['a'], tags: [0] }], /got \[0\], expected `tags` to be a list of strings/],
  ['no tags', [{ tokens: ['a'] }], /got nothing, expected `tags`/],
  ['spans that are no list', [{ text: 'a', spans: {} }], /got \{\}, expected `spans` to be a list/],
  ['a span beyond', [{ text: 'ab', spans: [{ start: 1, end: 3, label: 'A' }] }], /got the span .* ≤ 2, the length of the text/],
  ['a span backwards', [{ text: 'ab', spans: [{ start: 1, end: 1, label: 'A' }] }], /got the span/],
  ['a span of nothing', [{ text: 'a b', spans: [{ start: 1, end: 2, label: 'A' }] }], /got the span/],
  ['a span without a label', [{ text: 'ab', spans: [{ start: 0, end: 1 }] }], /got the span/],
  ['a span that is null', [{ text: 'ab', spans: [null] }], /got the span null/],
  [
    'half a character',
    [{ text: '😀b', spans: [{ start: 1, end: 3, label: 'A' }] }],
    /expected whole characters: positions are UTF-16 units/,
  ],
  [
    'another text',
    [{ text: '😀bc', spans: [{ start: 2, end: 3, label: 'A', text: 'c' }] }],
    /is "b" in the text, expected .* its `text`: positions/,
  ],
  [
    'spans that overlap',
    [
      {
        text: 'abc',
        spans: [
          { start: 0, end: 2, label: 'A' },
          { start: 1, end: 3, label: 'B' },
        ],
      },
    ],
    /overlap, expected spans apart/,
  ],
  ['one column', 'a\n', /data:1: got "a", expected JSON with .* or a token and its tag/],
  ['no token', ' O\n', /data:1: got " O"/],
  ['a broken line', '{"text":"a","spans":[]}\n{"text":\n', /data:2: broken JSON/],
]))
  test(`refused: ${name}`, async () => {
    await assert.rejects(read(content), (error) => error instanceof UserError && message.test(error.message));
  });
