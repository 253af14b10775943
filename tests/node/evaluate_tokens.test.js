/** evaluate.js on a bundle that labels tokens. What it answers is written here; the figures are counted by hand, as seqeval counts. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import {
  assertEscaped,
  assertNear,
  assertRefused,
  dir,
  evaluate,
  evaluateInto,
  file,
  HOSTILE_LABEL,
  HOSTILE_TEXT,
  withoutTexts,
} from './evaluate_toys.js';
import { writeToyBundle } from './toy_bundle.js';

const BIO = ['O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC'];
const TOKENS = {
  task: /** @type {const} */ ('token_labels'),
  activation: /** @type {const} */ ('softmax'),
  scheme: /** @type {const} */ ('BIO'),
};
/** Scores that give a label 3/4. @param {string} label */
const sure = (label) => BIO.map((one) => (one === label ? Math.log(12) : 0));
writeToyBundle(join(dir, 'entities'), {
  classifier: { ...TOKENS, labels: BIO },
  scores: { 张: sure('B-PER'), 三: sure('I-PER'), 北: sure('B-LOC'), 京: sure('I-LOC') },
  otherScores: sure('O'),
});
// Tags that the model gives: 张三在北京 B-PER I-PER O B-LOC I-LOC; 京在张京 I-LOC O B-PER I-LOC, of which only 张 is an entity.
const ENTITIES = [
  {
    text: '张三在 北京',
    spans: [
      { start: 0, end: 2, label: 'PER' },
      { start: 4, end: 6, label: 'LOC' },
    ],
  },
  { text: '京在张京', spans: [{ start: 2, end: 4, label: 'LOC' }] },
  { text: '张张', spans: [{ start: 0, end: 2, label: 'PER' }] },
  { text: '在', spans: [] },
];
/** True tags of these texts. */
const TAGS = ['B-PER I-PER O B-LOC I-LOC', 'O O B-LOC I-LOC', 'B-PER I-PER', 'O'];

const LABELLED = evaluateInto('entities', file('entities.jsonl', ENTITIES));

test('labels of tokens: entities by type as seqeval counts them, token accuracy, wrong texts', () => {
  const { document, page, errors } = LABELLED;
  // PER: 张三 and 张张 are true; 张三, 张 of 2, 张 and 张 of 3 are given; 1 is right. LOC: 北京 and 张京 are true; 北京 is given.
  assertNear(document.labels, [
    { label: 'PER', precision: 1 / 4, recall: 1 / 2, f1: 2 / 6, entities: 2, predicted: 4 },
    { label: 'LOC', precision: 1, recall: 1 / 2, f1: 2 / 3, entities: 2, predicted: 1 },
  ]);
  assertNear([document.micro_precision, document.micro_recall, document.micro_f1], [2 / 5, 2 / 4, 4 / 9]);
  assertNear(document.macro_f1, 1 / 2);
  // 12 characters; wrong are 京 and 张 of text 2 and the second 张 of text 3. 4 are O.
  assertNear([document.tokens, document.token_accuracy, document.outside_share], [12, 9 / 12, 4 / 12]);
  assert.deepEqual([document.texts, document.right, document.tokens_without_answer], [4, 2, 0]);
  // Each entity has the confidence 0.75; 2 of 5 are right.
  assertNear(document.calibration.expected_calibration_error, 0.75 - 0.4);
  const wrong = [
    {
      ...{ line: 3, text: '张张', missing: [{ label: 'PER', text: '张张', start: 0, end: 2 }] },
      extra: [
        { label: 'PER', text: '张', start: 0, end: 1, probability: 0.75 },
        { label: 'PER', text: '张', start: 1, end: 2, probability: 0.75 },
      ],
    },
    {
      ...{ line: 2, text: '京在张京', missing: [{ label: 'LOC', text: '张京', start: 2, end: 4 }] },
      extra: [{ label: 'PER', text: '张', start: 2, end: 3, probability: 0.75 }],
    },
  ];
  assertNear(errors, wrong);
  assertNear(document.wrong_texts, wrong);
  assert.equal(page.match(/<svg /g)?.length, 2);
  const { stdout } = evaluate('entities', file('entities.jsonl', ENTITIES));
  assert.match(stdout, /^type +precision +recall +F1 +entities +predicted\nPER +25\.0 % +50\.0 % +33\.3 % +2 +4\nLOC /m);
  assert.match(stdout, /^entities: micro-F1 44\.4 % \(precision 40\.0 %, recall 50\.0 %\); macro-F1 50\.0 %$/m);
  assert.match(stdout, /^token accuracy 75\.0 % of 12 tokens \(baseline 33\.3 %, always "O"\)$/m);
  assert.match(stdout, /^2 of 4 texts are wrong; .* line 3: missing PER 张张; extra PER 张, PER 张$/m);
});

test('tokens with tags and columns give the same as spans', () => {
  const expected = withoutTexts(LABELLED.document);
  const rows = ENTITIES.map(({ text }, i) => ({ tokens: [...text.replaceAll(' ', '')], tags: TAGS[i].split(' ') }));
  assert.deepEqual(withoutTexts(evaluateInto('entities', file('tokens.jsonl', rows)).document), expected);
  const columns = rows.map(({ tokens, tags }) => tokens.map((token, i) => `${token} ${tags[i]}\n`).join('')).join('\n');
  assert.deepEqual(withoutTexts(evaluateInto('entities', file('columns.txt', columns)).document), expected);
});

test('a text that is longer than the model counts as O beyond, and is reported', () => {
  const row = { tokens: [...'张'.repeat(600)], tags: new Array(600).fill('B-PER') };
  const { document, page } = evaluateInto('entities', file('long.jsonl', [row]));
  assert.deepEqual([document.tokens_without_answer, document.labels[0].entities, document.labels[0].predicted], [90, 600, 510]);
  assertNear(document.token_accuracy, 510 / 600);
  assert.match(page, /<p class="warning">90 of 600 tokens have no answer and count as &quot;O&quot;/);
});

test('what does not fit the classifier is refused with its line, before any text is answered', () => {
  const place = { text: '张', spans: [{ start: 0, end: 1, label: 'ORG' }] };
  assertRefused(
    'entities',
    [ENTITIES[0], place],
    /data:2: the label "ORG" is unknown to the classifier, expected one of PER, LOC$/,
  );
  assertRefused(
    'entities',
    '张 B-PER\n三 E-PER\n',
    /data:1: the tag "E-PER" is unknown to the classifier, expected one of O, B-PER, /,
  );
  assertRefused(
    'entities',
    ENTITIES,
    /--columns and --no-header are for files with a label for each text/,
    '--columns',
    'label,text',
  );
  assertRefused('entities', '\n', /data is empty; expected/);
});

test('labels and texts from outside are escaped on the page', () => {
  writeToyBundle(join(dir, 'hostile'), { classifier: { ...TOKENS, labels: ['O', `B-${HOSTILE_LABEL}`] }, otherScores: [0, 1] });
  const row = { text: HOSTILE_TEXT, spans: [{ start: 0, end: 2, label: HOSTILE_LABEL }] };
  assertEscaped(evaluateInto('hostile', file('hostile.jsonl', [row])).page);
});
