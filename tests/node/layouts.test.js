/** Data files as they circulate, and what is said of those that could mean two things. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { parseColumns } from '../../node_bridge/data/columns.js';
import { readExamples } from '../../node_bridge/data/examples.js';
import { UserError } from '../../node_bridge/support/errors.js';

const DIR = mkdtempSync(join(tmpdir(), 'layouts-'));
after(() => rmSync(DIR, { recursive: true }));

/** @param {string} content @param {{columns?: string, hasHeader?: boolean}} [options] */
async function load(content, { columns, hasHeader } = {}) {
  const path = join(DIR, 'data.txt');
  writeFileSync(path, content);
  const layout = { hasHeader, columns: columns === undefined ? undefined : parseColumns(columns) };
  /** @type {string[]} */
  const said = [];
  const rows = [];
  const say = (/** @type {string} */ line) => said.push(line.replace(path, 'FILE'));
  for await (const { text, pair, label } of readExamples(path, layout, say))
    rows.push(pair === undefined ? [text, label] : [text, pair, label]);
  return { rows, said: said.filter((line) => line !== '') };
}

/** @param {string} content @param {{columns?: string, hasHeader?: boolean}} options @param {RegExp} message */
async function refuses(content, options, message) {
  await assert.rejects(load(content, options), (error) => {
    assert(error instanceof UserError, String(error));
    assert.match(error.message, message);
    assert(!error.message.includes('\n'));
    return true;
  });
}

const SINGLE = [
  ['好书', '1'],
  ['坏书', '0'],
];
const PAIRS = [
  ['好书', '书好', '1'],
  ['好书', '坏', '0'],
];

/** @type {[string, string, string[][]][]} */
const AS_THEY_ARE = [
  [
    'LCQMC, JSON lines',
    '{"sentence1": "好书", "sentence2": "书好", "label": "1"}\n{"sentence1": "好书", "sentence2": "坏", "label": "0"}\n',
    PAIRS,
  ],
  ['LCQMC, as ERNIE has it', 'text_a\ttext_b\tlabel\n好书\t书好\t1\n好书\t坏\t0\n', PAIRS],
  ['ChnSentiCorp, training', 'label\ttext_a\n1\t好书\n0\t坏书\n', SINGLE],
  ['ChnSentiCorp, dev', 'qid\tlabel\ttext_a\n0\t1\t好书\n1\t0\t坏书\n', SINGLE],
  ['reviews', 'label,review\n1,好书\n0,坏书\n', SINGLE],
  ['reviews with semicolons', 'label;review\n1;好书\n0;坏书\n', SINGLE],
  ['reviews of a table with an index', ',label,content\n0,1,好书\n1,0,坏书\n', SINGLE],
  [
    'TNEWS',
    '{"label": "1", "label_desc": "news_story", "sentence": "好书", "keywords": ""}\n{"label": "0", "label_desc": "x", "sentence": "坏书", "keywords": ""}\n',
    SINGLE,
  ],
  [
    'IFLYTEK',
    '{"label": "1", "label_des": "打车", "sentence": "好书"}\n{"label": "0", "label_des": "x", "sentence": "坏书"}\n',
    SINGLE,
  ],
  [
    'AFQMC',
    '{"sentence1": "好书", "sentence2": "书好", "label": "1"}\n{"sentence1": "好书", "sentence2": "坏", "label": "0"}\n',
    PAIRS,
  ],
  [
    'a JSON array',
    JSON.stringify([
      { text: '好书', label: 1 },
      { text: '坏书', label: 0 },
    ]),
    SINGLE,
  ],
  [
    'a JSON array over many lines',
    JSON.stringify(
      [
        { sentence: '好书', labels: '1' },
        { sentence: '坏书', labels: '0' },
      ],
      null,
      1,
    ),
    SINGLE,
  ],
  ['questions', 'Question1,Question2,Label\r\n好书,书好,1\r\n好书,坏,0\r\n', PAIRS],
  ['Chinese names', '评论,标签\n好书,1\n坏书,0\n', SINGLE],
];
for (const [name, content, expected] of AS_THEY_ARE) {
  test(`read without options: ${name}`, async () => assert.deepEqual((await load(content)).rows, expected));
}

test('a message names the columns that were taken if their names are unusual or there are others', async () => {
  assert.deepEqual((await load('qid\tlabel\ttext_a\n0\t1\t好书\n')).said, [
    'FILE: takes `text_a` as text, `label`; not used: qid',
  ]);
  assert.deepEqual((await load('text,label\n好书,1\n')).said, []);
  assert.deepEqual((await load('{"sentence":"好","label":1,"id":1}\n{"sentence":"坏","label":1,"id":2}\n')).said, [
    'FILE: takes `sentence` as text, `label`; not used: id',
  ]);
});

test('an option sets the order of the columns of a file without a header', async () => {
  const data = { hasHeader: false };
  assert.deepEqual((await load('好书\t书好\t1\n好书\t坏\t0\n', { ...data, columns: 'sentence1,sentence2,label' })).rows, PAIRS);
  assert.deepEqual((await load('1\t好书\n0\t坏书\n', { ...data, columns: 'label,text' })).rows, SINGLE);
  assert.deepEqual((await load('好书,1\n坏书,0\n', { ...data, columns: 'text,label' })).rows, SINGLE);
  assert.deepEqual((await load('7;1;好书\n8;0;坏书\n', { ...data, columns: '_,label,text' })).rows, SINGLE);
  // A tab in the first text does not make another table of it.
  assert.deepEqual((await load('好\t书,1\n坏书,0\n一般,0\n', { ...data, columns: 'text,label' })).rows[0], ['好\t书', '1']);
  assert.deepEqual((await load('"好,\n书",1\n坏书,0\n', { ...data, columns: 'text,label' })).rows, [
    ['好,\n书', '1'],
    ['坏书', '0'],
  ]);
});

test('a text that begins with a bracket is not read as JSON', async () => {
  for (const text of ['[微笑]好书', '{好}书', '【好】书']) {
    assert.deepEqual((await load(`${text}\t1\n坏书\t0\n`, { hasHeader: false, columns: 'text,label' })).rows[0], [text, '1']);
  }
  await refuses("{'text': '好', 'label': 1}\n", {}, /:1: broken JSON/);
  await refuses('[1, 2]\n[3, 4]\n', {}, /:1: the first line does not say which column is the text/);
  await refuses('["好", 1]\n["坏", 0]\n', {}, /data\.txt:1: got "好", expected a JSON object/);
});

test('--columns renames the columns of a header by order or by name', async () => {
  assert.deepEqual((await load('stars\tbody\tuser\n1\t好书\tx\n0\t坏书\ty\n', { columns: 'label,text,-' })).rows, SINGLE);
  assert.deepEqual((await load('text,label,label\n好书,1,a\n坏书,0,b\n', { columns: 'text,label,_' })).rows, SINGLE);
  assert.deepEqual((await load('stars,body,text\n1,好书,x\n0,坏书,x\n', { columns: 'body=text,stars=label' })).rows, SINGLE);
  const objects = '{"text":"x","content":"好书","label":1}\n{"text":"x","content":"坏书","label":0}\n';
  assert.deepEqual((await load(objects, { columns: 'content=text' })).rows, SINGLE);
});

test('without a header that is understood, the error has the option to add', async () => {
  await refuses('好书很好看\t1\n坏书\t0\n一般的书\t1\n', {}, /data\.txt:1: .*; add --no-header --columns text,label$/);
  await refuses('体育\t今天的比赛\n财经\t股市上涨了\n体育\t足球\n', {}, /add --no-header --columns label,text$/);
  await refuses('好书\t书好\t1\n好书吗\t坏\t0\n书\t书书书\t1\n', {}, /add --no-header --columns sentence1,sentence2,label$/);
  await refuses('17\t1\t好书\n18\t0\t坏书书\n19\t1\t书\n', {}, /add --no-header --columns _,label,text$/);
  await refuses(
    '好书,1\n坏书,0\n',
    { hasHeader: false },
    /has no header as --no-header says, so its columns need names: add --no-header --columns text,label$/,
  );
  await refuses(
    'body,stars\n好书好,a\n坏书书,b\n一般般,a\n',
    {},
    /add --columns text,label if the first line names the columns, or --no-header --columns text,label if it is data$/,
  );
});

test('ambiguous columns are refused with a way to choose', async () => {
  await refuses(
    'text,review,label\na,b,1\n',
    {},
    /:1: got `text` and `review`, of which more than one could be the text; choose with --columns text=text/,
  );
  await refuses(
    'text,label,labels\na,1,1\n',
    {},
    /:1: got `label` and `labels`, of which more than one could be the label; choose with --columns label=label/,
  );
  await refuses(
    '{"text":"a","sentence1":"b","sentence2":"c","label":1}\n',
    {},
    /:1: got `sentence1` and `sentence2` and `text`, .*choose with --columns sentence1=sentence1,sentence2=sentence2/,
  );
  await refuses('{"text":"a","Text":"b","label":1}\n', {}, /:1: got `text` and `Text`/);
  await refuses(
    'text,label,label\na,1,2\n',
    {},
    /data\.txt:1: two columns have the name `label`; rename one, or say what each is with --columns/,
  );
  await refuses('text,x,label,x\na,,1,\n', {}, /two columns have the name `x`/);
});

test('an option that does not fit the file is refused', async () => {
  await refuses(
    'label\ttext\n1\t好\n',
    { hasHeader: false, columns: 'label,text' },
    /:1: the first line names columns \(label, text\), so it is a header; leave --no-header away/,
  );
  await refuses(
    '1\t好\n0\t坏\n1\t书\n',
    { columns: 'label,text' },
    /:3: the label "1" stands in the first line too, so that one is data and no header; add --no-header/,
  );
  await refuses('a,b,c\n1,2,3\n', { columns: 'label,text' }, /got 3 columns, expected 2 as --columns says: label, text/);
  await refuses(
    '{"text":"a","label":1}\n',
    { columns: 'text,label' },
    /holds JSON, whose fields have names: got --columns by order, expected --columns by name/,
  );
  await refuses('{"text":"a","label":1}\n', { hasHeader: false }, /holds JSON, whose fields have names: got --no-header/);
  await refuses('a,b\n1,2\n', { columns: 'c=text,b=label' }, /:1: got a, b, expected `c` among them, as --columns says/);
  for (const wrong of [
    'text',
    'label',
    'text,text,label',
    'text,sentence1,label',
    'sentence1,label',
    'text,marks',
    'a=text,label',
    '=text',
    'a=b',
    '',
  ]) {
    assert.throws(() => parseColumns(wrong), /Expected --columns to be the columns in order, such as .*; got/, wrong);
  }
});
