import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';

import { wilsonInterval95 } from '../../node_bridge/classifier/evaluation/evaluation.js';
import { buildProblem } from '../../node_bridge/classifier/training/training.js';
import { buildDataReport, formatWarnings } from '../../node_bridge/classifier/training/data_report.js';
import { Dataset } from '../../node_bridge/data/dataset.js';
import { LengthTally } from '../../node_bridge/tokenizer/length_tally.js';
import { TextReader } from '../../node_bridge/tokenizer/long_texts.js';
import { toyTokenizer } from './toys.js';

const DIR = mkdtempSync(join(tmpdir(), 'report-'));
after(() => rmSync(DIR, { recursive: true }));

/** @param {string} content @param {string} name */
function load(content, name) {
  writeFileSync(join(DIR, name), content);
  return Dataset.read(join(DIR, name));
}

const NO_CUTS = new LengthTally({ maxLength: 16 });
NO_CUTS.add({ count: 1, positions: 9, unread: 0 });

/** @param {string} train rows of a table @param {string} dev @returns report and warnings */
async function reported(train, dev) {
  const problem = buildProblem(await load(`text,label\n${train}`, 'train.csv'), await load(`text,label\n${dev}`, 'dev.csv'));
  const report = await buildDataReport(problem, NO_CUTS);
  return {
    report,
    problem,
    warnings: formatWarnings(report, problem, { maxLength: 16 }).map((line) => line.replaceAll(`${DIR}/`, '')),
  };
}

/** @param {number} count @param {string} label @param {string} [name] */
const rows = (count, label, name = label) => Array.from({ length: count }, (_, i) => `${name}${i},${label}\n`).join('');
const GOOD = rows(300, 'x', 'a') + rows(300, 'y', 'b');

test('valid data gives no warning, only how many texts are cut', async () => {
  const { report, warnings } = await reported(rows(10, 'x', 'c') + rows(10, 'y', 'd'), GOOD);
  assert.deepEqual(warnings, ['no text is cut at 16 positions; the longest has 9']);
  assert.deepEqual(report.overlap, { texts: 0, distinct: 0, other_label: 0 });
  assert.deepEqual(report.majority, { label: 'x', train_share: 0.5, dev_accuracy: 0.5 });
});

test('texts in both training and dev data are reported', async () => {
  const { report, warnings } = await reported('p,x\nq,y\nr,x\n', `${GOOD}p,x\np,x\nq,x\n`);
  assert.deepEqual(report.overlap, { texts: 3, distinct: 2, other_label: 1 });
  assert.match(
    warnings[0],
    /^3 of 603 dev texts \(2 distinct\) are training texts too, 1 of them with another label: .*--split$/,
  );
});

test('a text with two labels is reported with its lines, also if there are blank lines between', async () => {
  const { report, warnings } = await reported('p,x\n\nq,y\np,y\np,y\nr,x\nq,y\nr,y\n', GOOD);
  assert.deepEqual(report.contradictions, {
    train: {
      texts: 2,
      lines: [
        [2, 5],
        [7, 9],
      ],
    },
    dev: { texts: 0, lines: [] },
  });
  assert.equal(warnings[0], 'train.csv: 2 texts have more than one label, such as lines 2 and 5; 7 and 9');
  // In the parts of a split the line numbers are those of the file.
  const whole = await load(`text,label\n${GOOD}p,x\np,y\n`, 'train.csv');
  const problem = buildProblem(...whole.split(0.3, 1));
  const { contradictions } = await buildDataReport(problem, NO_CUTS);
  assert.deepEqual([...contradictions.train.lines, ...contradictions.dev.lines], [[602, 603]]);
});

test('few dev texts: the uncertainty of accuracy is reported', async () => {
  const { warnings } = await reported(GOOD, rows(10, 'x', 'c') + rows(10, 'y', 'd'));
  assert.match(warnings[0], /^only 20 dev texts: dev accuracy is uncertain by up to ±20\.1 points \(95 % interval\)$/);
  // scipy 1.17.1: binomtest(85, 100).proportion_ci(method='wilson'), and so on.
  const near = (/** @type {number[]} */ got, /** @type {number[]} */ expected) => {
    assert.equal(got.length, expected.length);
    got.forEach((value, i) => assert(Math.abs(value - expected[i]) < 1e-12, String(got)));
  };
  near(wilsonInterval95(0.85, 100), [0.7671644040916763, 0.9069401471634337]);
  near(wilsonInterval95(0, 10), [0, 0.27753279986288926]);
  near(wilsonInterval95(1, 10), [0.7224672001371109, 1]);
});

test('a label only in training data is reported; only in dev data it is an error with a remedy', async () => {
  const { report, warnings } = await reported(`${rows(10, 'x', 'c')}${rows(10, 'y', 'd')}e,z\nf,w\n`, GOOD);
  assert.deepEqual(report.labels_without_dev, ['w', 'z']);
  assert.equal(warnings[0], 'no dev text has the label w, z: how well it is found stays unknown');
  await assert.rejects(
    reported(GOOD, 'p,x\nq,z\nr,z\ns,v\n'),
    /dev\.csv:3: the label "z" is in no training text \(dev texts that have it: 2; other such labels: 1\), expected one of x, y; put texts of it into the training data, take it out of the dev data, or give all as --train with --split$/,
  );
});

test('labels out of balance are reported with the majority baseline', async () => {
  const { report, warnings } = await reported(rows(95, 'x', 'c') + rows(5, 'y', 'd'), rows(450, 'x', 'a') + rows(50, 'y', 'b'));
  assert.deepEqual(report.majority, { label: 'x', train_share: 0.95, dev_accuracy: 0.9 });
  assert.match(
    warnings[0],
    /^the labels are out of balance: 95\.0 % of the training texts are x, 5\.0 % are y \(2 labels\); always x has a dev accuracy of 90\.0 %; /,
  );
});

test('a text column taken for the label column is reported', async () => {
  const texts = Array.from({ length: 50 }, (_, i) => `${i % 2},评论${i}\n`).join('');
  const { warnings } = await reported(texts, texts);
  assert.ok(
    warnings.includes('50 labels for 50 training texts: is the column of the label the right one? see --columns'),
    warnings.join('\n'),
  );
});

test('trimmed labels, labels read as integers, and empty texts are reported', async () => {
  const { warnings } = await reported(`c,x \nd,y\n,x\n`, GOOD.replace('a0,x', 'a0, x').replace('a1,x', '\u3000,x'));
  assert.deepEqual(warnings.slice(0, 4), [
    'train.csv: white space around 1 label was removed, from line 2 on',
    'train.csv: 1 text is empty, from line 4 on',
    'dev.csv: white space around 1 label was removed, from line 2 on',
    'dev.csv: 1 text is empty, from line 3 on',
  ]);
  const floats = await reported('c,1.0\nd,0.0\n', rows(300, '1', 'a') + rows(300, '0', 'b'));
  const inPage = formatWarnings(floats.report, floats.problem, { maxLength: 16 }, basename);
  assert.equal(inPage[0], floats.warnings[0]);
  assert.equal(floats.warnings[0], 'train.csv: 2 labels such as 1.0 were read as integers, from line 2 on');
});

/** The report of four texts at 6 positions: an id for each character, one before and one after. @param {any} [long] */
async function reportLengths(long) {
  const how = { maxLength: 6, long };
  const [lengths, reader] = [new LengthTally(how), new TextReader(toyTokenizer, how)];
  for (const text of ['好', '好好好好', '好好好好好', '好'.repeat(10)]) lengths.add(reader.read({ text }));
  const problem = buildProblem(await load('text,label\np,x\nq,y\n', 'train.csv'), await load(`text,label\n${GOOD}`, 'dev.csv'));
  const report = await buildDataReport(problem, lengths);
  return { cut: report.cut, warning: formatWarnings(report, problem, how)[0] };
}

test('tokens that a limit cuts off are counted', async () => {
  const { cut, warning } = await reportLengths();
  assert.deepEqual(cut, { texts: 2, share: 0.5, tokens_lost: 7, tokens_lost_share: 7 / 28, longest: 12 });
  assert.equal(
    warning,
    '2 of 602 texts (50.0 %) are cut at 6 positions and lose 25.0 % of all tokens; the longest has 12, see --max-length and --long',
  );
  const both = await reportLengths({ choice: 'head-tail' });
  assert.deepEqual(both.cut, cut);
  assert.equal(
    both.warning,
    '2 of 602 texts (50.0 %) are longer than 6 positions and are read by head-tail: they lose 25.0 % of all tokens; the longest has 12',
  );
});

test('windows lose nothing, and their number is said', async () => {
  const { cut, warning } = await reportLengths({ choice: 'windows', stride: 2, pooling: 'mean' });
  // Of 5 tokens 2 windows of 4, of 10 tokens 4.
  assert.deepEqual(cut, { texts: 2, share: 0.5, tokens_lost: 0, tokens_lost_share: 0, longest: 12, windows: 6 });
  assert.equal(
    warning,
    '2 of 602 texts (50.0 %) are longer than 6 positions and are read by windows, stride 2, mean: 6 windows; the longest has 12',
  );
});
