/**
 * evaluate.js on bundles that decide several labels, or numbers. Their scores are written here, and the expected
 * figures are computed by hand from the usual formulas, as the comments show.
 */
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

const MULTI = { task: /** @type {const} */ ('multi_label'), activation: /** @type {const} */ ('sigmoid'), threshold: 0.6 };
writeToyBundle(join(dir, 'multi'), {
  classifier: { ...MULTI, labels: ['bad', 'good', 'dear'] },
  scores: { '[CLS]': [0, 0, -40], 好: [0, Math.log(3), -40], 坏: [Math.log(7), 0, -40], 贵: [-40, -40, 2] },
  otherScores: [-40, -40, -40],
});
/** The probability of `dear` in a text with 贵. */
const DEAR = 1 / (1 + Math.exp(-2));
// Probabilities of bad, good, dear: 好 0.5 0.75 0; 坏 0.875 0.5 0; 坏贵 0.875 0.5 DEAR; 书 0.5 0.5 0. From 0.6 on they are given.
const REVIEWS = [
  { text: '好', label: ['good'] },
  { text: '坏贵', label: ['dear', 'bad'] },
  { text: '书', label: [] },
  { text: '好', label: ['good', 'bad'] },
  { text: '坏', label: ['good'] },
  { text: '坏贵', label: ['dear'] },
];

const REVIEWED = evaluateInto('multi', file('multi.jsonl', REVIEWS));

test('several labels: each label, micro and macro, subset accuracy, wrong texts', () => {
  const { document, page, errors } = REVIEWED;
  const { labels, majority } = document;
  assert.deepEqual([document.problem_type, document.task, document.weights_trained], ['multi_label', 'single', false]);
  // bad is true in 2, 4 and given in 2, 5, 6; good true in 1, 4, 5, given in 1, 4; dear true and given in 2, 6.
  assertNear(labels, [
    { label: 'bad', precision: 1 / 3, recall: 1 / 2, f1: 2 / 5, texts: 2, predicted: 3 },
    { label: 'good', precision: 1, recall: 2 / 3, f1: 4 / 5, texts: 3, predicted: 2 },
    { label: 'dear', precision: 1, recall: 1, f1: 1, texts: 2, predicted: 2 },
  ]);
  // 5 of 7 given ones are true, and 5 of 7 true ones are given.
  assertNear([document.micro_precision, document.micro_recall, document.micro_f1], [5 / 7, 5 / 7, 5 / 7]);
  assertNear(document.macro_f1, (2 / 5 + 4 / 5 + 1) / 3);
  assertNear([document.texts, document.right, document.subset_accuracy], [6, 3, 0.5]);
  assertNear(majority, { labels: ['good'], subset_accuracy: 2 / 6 });
  // −ln of the probability of the truth, over 18 pairs: true ones 0.75, 0.875, DEAR, 0.5, 0.75, 0.5, DEAR; of those that are
  // not true 0.5 five times, 0.875 twice, 0 four times.
  const [ln2, ln4, ln8] = [1, 2, 3].map((power) => power * Math.LN2);
  const loss = 2 * (ln4 - Math.log(3)) + (ln8 - Math.log(7)) - 2 * Math.log(DEAR) + 7 * ln2 + 2 * ln8;
  assertNear(document.loss, loss / 18);
  const wrong = [
    { line: 5, labels: ['good'], predicted: ['bad'], missing: ['good'], extra: ['bad'], error: 0.875, text: '坏' },
    { line: 6, labels: ['dear'], predicted: ['dear', 'bad'], missing: [], extra: ['bad'], error: 0.875, text: '坏贵' },
    { line: 4, labels: ['bad', 'good'], predicted: ['good'], missing: ['bad'], extra: [], error: 0.5, text: '好' },
  ];
  assertNear(errors, wrong);
  assertNear(document.most_confident_errors, wrong);
  for (const title of ['Labels', 'Calibration', 'Threshold', 'Wrong texts']) assert(page.includes(`<h2>${title}</h2>`), title);
  assert.equal(page.match(/<svg /g)?.length, 3);
  assert.match(page, /always good: the commonest set of labels of these texts, not of the training texts/);
});

test('several labels: calibration and thresholds count each pair of a text and a label', () => {
  const { calibration, thresholds } = REVIEWED.document;
  // Bins of width 1/15: 0 four times, none true; 0.5 seven times, 2 true; 0.75 twice, both true; 0.875 three times and DEAR
  // twice, 3 true.
  const filled = calibration.bins.flatMap((/** @type {any} */ { count, right }, /** @type {number} */ i) =>
    count === 0 ? [] : [[i, count, right]],
  );
  assert.deepEqual(filled, [
    [0, 4, 0],
    [7, 7, 2],
    [11, 2, 2],
    [13, 5, 3],
  ]);
  const high = 3 * 0.875 + 2 * DEAR;
  assertNear(calibration.expected_calibration_error, (3.5 - 2 + (2 - 1.5) + (high - 3)) / 18);
  assertNear(calibration.mean_confidence, (3.5 + 1.5 + high) / 18);
  // Of 7 true ones: from 0.5 on 7 and 7 others are given; from 0.51 on 5 and 2; from 0.76 on 3 and 2.
  const at = (/** @type {number} */ threshold) => thresholds.points[Math.round(100 * threshold)];
  assertNear(at(0), { threshold: 0, precision: 7 / 18, recall: 1, f1: 14 / 25 });
  assertNear(at(0.5), { threshold: 0.5, precision: 7 / 14, recall: 1, f1: 14 / 21 });
  assertNear(at(0.76), { threshold: 0.76, precision: 3 / 5, recall: 3 / 7, f1: 6 / 12 });
  assertNear(thresholds.best, { threshold: 0.51, precision: 5 / 7, recall: 5 / 7, f1: 10 / 14 });
  assert.equal(thresholds.current, 0.6);
});

test('several labels: a table with a separator gives the same, and the terminal says it', () => {
  const rows = REVIEWS.map(({ text, label }) => `${text}\t${label.join('/')}\n`).join('');
  const data = file('multi.tsv', `review\tlabels\n${rows}`);
  const { document } = evaluateInto('multi', data, '--label-separator', '/');
  assert.deepEqual(withoutTexts(document), withoutTexts(REVIEWED.document));
  const { status, stdout, stderr } = evaluate('multi', data, '--label-separator', '/');
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^label +precision +recall +F1 +texts +predicted\nbad +33\.3 % +50\.0 % +40\.0 % +2 +3$/m);
  assert.match(stdout, /^subset accuracy 50\.0 % \(95 % interval \d.*; majority baseline 33\.3 %, always good\)$/m);
  assert.match(stdout, /^micro-F1 71\.4 % \(precision 71\.4 %, recall 71\.4 %\); macro-F1 73\.3 %; /m);
  assert.match(stdout, /^from a probability of 0\.51 on .* 71\.4 % .*; at the classifier's threshold of 0\.6 it is 71\.4 %$/m);
  assert.match(stdout, /^3 of 6 texts are wrong; the most confident is in line 6: good missing, bad extra, error 87\.5 %$/m);
  const unknown = evaluate('multi', data);
  assert.deepEqual([unknown.status, unknown.stdout], [2, '']);
  assert.match(
    unknown.stderr,
    /^error: .*multi\.tsv:3: the label "dear\/bad" is unknown .* separated by "\|", see --label-separator\n$/m,
  );
});

test('numbers: errors, correlations, the baseline, the largest errors', () => {
  const classifier = { task: /** @type {const} */ ('regression'), activation: /** @type {const} */ ('none'), labels: ['stars'] };
  writeToyBundle(join(dir, 'stars'), { classifier, scores: { 好: [5], 坏: [1], 贵: [2] }, otherScores: [-40] });
  const rows = [
    { text: '好', label: 4 },
    { text: '坏', label: '1' },
    { text: '贵', label: 3 },
    { text: '坏好', label: 5 },
    { text: '坏', label: [2] },
  ];
  const { document, page, errors } = evaluateInto('stars', file('stars.jsonl', rows));
  // The model says 5, 1, 2, 5, 1: off by 1, 0, 1, 0, 1. The mean is 3, from which the truth is off by 1, 2, 0, 2, 1.
  // Pearson: (1·2.2 + 2·1.8 + 0 + 2·2.2 + 1·1.8) / √(10 · 16.8); ranks 4 1 3 5 2 and 4.5 1.5 3 4.5 1.5: 9 / √(10 · 9).
  assertNear(document.labels, [
    {
      ...{ label: 'stars', mae: 3 / 5, rmse: Math.sqrt(3 / 5), r2: 1 - 3 / 10, mean: 3 },
      ...{ pearson: 12 / Math.sqrt(168), spearman: 9 / Math.sqrt(90) },
      baseline: { mae: 6 / 5, rmse: Math.sqrt(2) },
    },
  ]);
  assert.deepEqual(
    errors.map(({ line, error }) => [line, error]),
    [
      [1, 1],
      [3, 1],
      [5, 1],
      [2, 0],
      [4, 0],
    ],
  );
  assert.deepEqual(errors[0], { line: 1, true_values: { stars: 4 }, values: { stars: 5 }, error: 1, text: '好' });
  assert.deepEqual(document.largest_errors, errors);
  assert.equal(page.match(/<circle class="point"/g)?.length, 5);
  assert.match(page, /MAE 1\.2, RMSE 1\.414, always 3: the mean of these texts/);
  const { stdout } = evaluate('stars', file('stars.jsonl', rows));
  assert.match(stdout, /^stars +0\.6 +0\.7746 +0\.700 +0\.926 +0\.949 +3 +1\.2$/m);
  assert.match(stdout, /^5 texts; the largest error is 1 in line 1: true 4, predicted 5$/m);
  // Equal numbers have no correlation.
  const equal = evaluateInto('stars', file('equal.jsonl', [rows[0], rows[0]])).document.labels[0];
  assert.deepEqual([equal.r2, equal.pearson, equal.spearman], [null, null, null]);
  const broken = evaluate('stars', file('broken.jsonl', [...rows, { text: '好', label: 'x' }]));
  assert.equal(broken.status, 2);
  assert.match(broken.stderr, /^error: .*broken\.jsonl:6: got label "x", expected `label` to be a number\n$/m);
});

test('what does not fit the classifier is refused with its line, before any text is answered', () => {
  const pair = { sentence1: 'a', sentence2: 'b', label: [] };
  assertRefused('multi', [REVIEWS[0], pair], /data:2: got a pair text after single ones/);
  assertRefused('multi', '', /data is empty; expected/);
  assertRefused(
    'multi',
    [{ text: '好', label: { good: 1 } }],
    /data:1: got label \{"good":1\}, expected `label` to be a list of labels/,
  );
});

test('labels and texts from outside are escaped on the pages', () => {
  writeToyBundle(join(dir, 'hostile'), { classifier: { ...MULTI, labels: [HOSTILE_LABEL, 'b'] }, otherScores: [0, 0] });
  assertEscaped(evaluateInto('hostile', file('hostile.jsonl', [{ text: HOSTILE_TEXT, label: [HOSTILE_LABEL] }])).page);
  const regression = {
    task: /** @type {const} */ ('regression'),
    activation: /** @type {const} */ ('none'),
    labels: [HOSTILE_LABEL],
  };
  writeToyBundle(join(dir, 'hostile-number'), { classifier: regression, otherScores: [0] });
  assertEscaped(evaluateInto('hostile-number', file('hostile.jsonl', [{ text: HOSTILE_TEXT, label: 1 }])).page);
});
