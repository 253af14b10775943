/** evaluate.js as a person types it, on a small classifier; and its parts on answers that are known. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { evaluateClassifier } from '../../node_bridge/classifier/evaluation/classifier_evaluation.js';
import { writeEvaluation } from '../../node_bridge/classifier/evaluation/evaluation_files.js';
import { renderEvaluationPage } from '../../node_bridge/classifier/evaluation/evaluation_page.js';
import { renderEvaluation } from '../../node_bridge/classifier/evaluation/single_label_page.js';
import { Dataset } from '../../node_bridge/data/dataset.js';
import { UserError } from '../../node_bridge/support/errors.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const dir = mkdtempSync(join(tmpdir(), 'evaluate-'));
after(() => rmSync(dir, { recursive: true }));
const model = join(dir, 'classifier');

/** @param {string} script @param {string[]} args */
function command(script, args, input = '') {
  const path = join(root, 'node_bridge', script);
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...args], { input, encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** @param {string} name @param {object[]} rows */
function file(name, rows) {
  const path = join(dir, name);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}

/** Reviews whose label is by their first character, and every fifth has the other one. @param {number} count */
function reviews(count) {
  return Array.from({ length: count }, (_, i) => {
    const isGood = i % 2 === 0;
    return { text: `${isGood ? '好' : '坏'}书`.repeat((i % 3) + 1), label: isGood === (i % 5 !== 4) ? '好评' : '差评' };
  });
}

before(() => {
  const bundle = join(root, 'artifacts', 'bundle', 'albert_tiny');
  const data = file('train.jsonl', reviews(60));
  const options = ['--bundle', bundle, '--train', data, '--dev', data, '--backend', 'wasm', '--workers', '1', '--epochs', '2'];
  const { status, stderr } = command('train.js', [
    ...options,
    '--cache',
    join(dir, 'cache'),
    '--max-length',
    '6',
    '--out',
    model,
  ]);
  assert.equal(status, 0, stderr);
  // The terminal names the data file by its path; the page, which is passed on, by its name.
  assert(stderr.includes(`${data}: 6 texts have more than one label`), stderr);
  const page = readFileSync(join(model, 'training.html'), 'utf8');
  assert(page.includes('<li>train.jsonl: 6 texts have more than one label'));
  assert(!page.includes(dir));
});

/** @param {string} data @param {string[]} more */
function evaluate(data, ...more) {
  return command('evaluate.js', ['--model', model, '--data', data, '--backend', 'wasm', '--workers', '1', ...more]);
}

test('the figures are those of what predict.js answers', () => {
  const rows = reviews(150);
  const data = file('test.jsonl', rows);
  const out = join(dir, 'evaluation');
  const { status, stdout, stderr } = evaluate(data, '--out', out, '--json');
  assert.equal(status, 0, stderr);
  const document = JSON.parse(stdout);

  const asked = rows.map(({ text }) => `${JSON.stringify({ text })}\n`).join('');
  const predicted = command('predict.js', ['--model', model, '--backend', 'wasm', '--jsonl'], asked)
    .stdout.trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const wrong = rows
    .map((row, i) => ({ ...row, line: i + 1, predicted: predicted[i].label, probability: predicted[i].probability }))
    .filter(({ label, predicted: got }) => label !== got)
    .sort((a, b) => b.probability - a.probability || a.line - b.line);
  assert(wrong.length > 0);
  assert.deepEqual([document.texts, document.right, document.task], [150, 150 - wrong.length, 'single']);
  assert.equal(document.data.sha256, createHash('sha256').update(readFileSync(data)).digest('hex'));
  const countOf = (/** @type {{label: string}[]} */ all, /** @type {string} */ label) =>
    all.filter((one) => one.label === label).length;
  for (const { label, texts, predicted: times } of document.labels)
    assert.deepEqual([texts, times], [countOf(rows, label), countOf(predicted, label)]);
  assert.equal(document.labels.length, 2);

  assert.deepEqual(readdirSync(out).sort(), ['errors.jsonl', 'evaluation.html', 'evaluation.json']);
  assert.equal(readFileSync(join(out, 'evaluation.json'), 'utf8'), stdout);
  const written = readFileSync(join(out, 'errors.jsonl'), 'utf8').trimEnd().split('\n');
  assert.deepEqual(
    written.map((line) => JSON.parse(line)),
    wrong,
  );
  assert.deepEqual(document.most_confident_errors, wrong.slice(0, 50));

  // The bundle says that its weights are seeded.
  assert.match(stderr, /^UNTRAINED WEIGHTS: /m);
  const page = readFileSync(join(out, 'evaluation.html'), 'utf8');
  assert.match(page, /<p class="warning"><b>The weights of the encoder are untrained<\/b>/);
  const commonest = ['好评', '差评'].sort((a, b) => countOf(rows, b) - countOf(rows, a))[0];
  const share = ((100 * countOf(rows, commonest)) / rows.length).toFixed(1);
  assert(
    page.includes(`${share} %, always &quot;${commonest}&quot;: the commonest label of these texts, not of the training texts`),
  );

  // Again, into the same directory, with the same bytes; and as text.
  const again = evaluate(data, '--out', out);
  assert.equal(again.status, 0, again.stderr);
  assert.equal(readFileSync(join(out, 'evaluation.json'), 'utf8'), stdout);
  assert.match(again.stdout, /^label +precision +recall +F1 +texts +predicted\n好评 /m);
  assert.match(again.stdout, /^accuracy \d.* majority baseline \d/m);
  assert.match(
    again.stdout,
    new RegExp(`^${wrong.length} of 150 texts are wrong; the most confident is in line ${wrong[0].line}: `, 'm'),
  );
  assert.match(again.stderr, /^evaluating texts: 150 in /m);
});

test('a label that the classifier does not know is refused by its first line, before any text is labelled', () => {
  const data = file('unknown.jsonl', [...reviews(3), { text: '一般', label: '中评' }, { text: '还行', label: '中评' }]);
  const out = join(dir, 'refused');
  const { status, stdout, stderr } = evaluate(data, '--out', out);
  assert.deepEqual([status, stdout], [2, '']);
  assert.match(
    stderr,
    /^error: .*unknown\.jsonl:4: the label "中评" is unknown to the classifier \(texts that have it: 2; other such labels: 0\), expected one of 好评, 差评; /m,
  );
  assert.equal(existsSync(out), false);
});

test('mistakes are one line, and nothing is written', () => {
  const pairs = file('pairs.jsonl', [{ sentence1: '好', sentence2: '坏', label: '好评' }]);
  assert.match(
    evaluate(pairs).stderr,
    /pairs\.jsonl holds pair texts, but the classifier takes single ones; expected the same$/m,
  );
  const yours = join(dir, 'classifier');
  const before = readdirSync(yours);
  const { status, stderr } = evaluate(file('few.jsonl', reviews(4)), '--out', yours);
  assert.equal(status, 2);
  assert.match(stderr, /^error: .* holds other things \(.*\) and no evaluation\.json; it is left alone, give another --out\n$/);
  assert.deepEqual(readdirSync(yours), before);
});

test('a table without header in another order', () => {
  const data = join(dir, 'table.tsv');
  writeFileSync(data, '好评\t好书\n差评\t坏书\n');
  const { status, stdout, stderr } = evaluate(data, '--no-header', '--columns', 'label,text', '--json');
  assert.equal(status, 0, stderr);
  assert.equal(JSON.parse(stdout).texts, 2);
});

/** A classifier that says 1 with these probabilities, by the text. @param {Record<string, number>} answers */
function toyClassifier(answers) {
  return {
    labels: ['0', '1'],
    task: /** @type {const} */ ('single'),
    /** @type {number[]} */
    asked: [],
    /** @param {any[]} texts */
    async predict(texts) {
      this.asked.push(texts.length);
      return texts.map((text) => {
        const p = answers[text[0]];
        return { text, label: p > 0.5 ? '1' : '0', probability: Math.max(p, 1 - p), probabilities: { 0: 1 - p, 1: p } };
      });
    },
  };
}

test('wrong texts come the most confident first, across batches', async () => {
  const rows = Array.from({ length: 3000 }, (_, i) => ({ text: `a${i}`, label: '1' }));
  for (const [i, text, label] of /** @type {const} */ ([
    [2999, 'b', '1'],
    [5, 'c', '0'],
    [70, 'b', '1'],
  ]))
    rows[i] = { text, label };
  const dataset = await Dataset.read(file('many.jsonl', rows));
  const classifier = toyClassifier({ a: 0.75, b: 0.125, c: 0.9375 });
  /** @type {number[]} */
  const done = [];
  const { metrics, wrong } = await evaluateClassifier(classifier, dataset, (count) => done.push(count));
  assert.deepEqual(wrong, [
    { line: 6, label: '0', predicted: '1', probability: 0.9375, text: 'c' },
    { line: 71, label: '1', predicted: '0', probability: 0.875, text: 'b' },
    { line: 3000, label: '1', predicted: '0', probability: 0.875, text: 'b' },
  ]);
  assert.deepEqual([metrics.texts, metrics.right, metrics.accuracy], [3000, 2997, 0.999]);
  assert.deepEqual(classifier.asked, [64, 128, 256, 512, 1024, 1016]);
  assert.deepEqual(done, classifier.asked);
});

test('a file that changes while it is read is refused', async () => {
  const path = file('changing.jsonl', reviews(3));
  for (const [before, after] of [
    [2, 3],
    [3, 2],
  ]) {
    const rows = (/** @type {number} */ count) => Array.from({ length: count }, () => ({ text: 'a', label: '1' }));
    const dataset = await Dataset.read(file('changing.jsonl', rows(before)));
    file('changing.jsonl', rows(after));
    await assert.rejects(
      evaluateClassifier(toyClassifier({ a: 1 }), dataset, () => {}),
      new UserError(`${path} has changed while it was read; run the command again`),
    );
  }
});

test('texts, labels and names from outside are escaped in the page, which loads and runs nothing', async () => {
  const labels = ['<script>x</script>', '"><img src=x>'];
  const rows = [
    { text: '</td><script>y</script>\u202e\x1b[31m', label: labels[0] },
    { text: 'b', label: labels[1] },
  ];
  const dataset = await Dataset.read(file('hostile.jsonl', rows));
  const classifier = {
    labels,
    task: /** @type {const} */ ('single'),
    predict: async (/** @type {any[]} */ texts) =>
      texts.map((text) => ({
        text,
        label: labels[1],
        probability: 0.75,
        probabilities: { [labels[0]]: 0.25, [labels[1]]: 0.75 },
      })),
  };
  const { metrics, wrong } = await evaluateClassifier(classifier, dataset, () => {});
  const sections = renderEvaluation({ metrics, wrong, allWrong: '<u>' });
  const shown = { summary: '<b>', facts: /** @type {[string, string][]} */ ([['<b>', '<i>']]), sections };
  const page = renderEvaluationPage({ title: '</title><script>', trained: true, ...shown });
  for (const trained of [true, null])
    assert.doesNotMatch(renderEvaluationPage({ title: 'a', trained, ...shown }), /<p class="warning"/);
  assert.doesNotMatch(page, /<script|<img|<i>|<u>|\u202e|\x1b|https?:/);
  assert.match(page, /&lt;script&gt;y&lt;\/script&gt;\\u202e\\u001b\[31m/);
  assert.match(page, /Content-Security-Policy" content="default-src 'none'/);
  // Each section is there, and three pictures.
  for (const title of ['Labels', 'Confusion', 'Calibration', 'Threshold', 'Wrong texts'])
    assert(page.includes(`<h2>${title}</h2>`), title);
  assert.equal(page.match(/<svg /g)?.length, 3);
});

test('only an evaluation is replaced', () => {
  const out = join(dir, 'other');
  writeEvaluation(out, { document: { format: 'bert-bridge-evaluation' }, page: 'a', wrong: [] });
  writeEvaluation(out, { document: { format: 'bert-bridge-evaluation' }, page: 'b', wrong: [{ line: 1 }] });
  assert.equal(readFileSync(join(out, 'evaluation.html'), 'utf8'), 'b');
  assert.equal(readFileSync(join(out, 'errors.jsonl'), 'utf8'), '{"line":1}\n');
  writeFileSync(join(out, 'evaluation.json'), '{"format":"other"}');
  assert.throws(() => writeEvaluation(out, { document: {}, page: '', wrong: [] }), /evaluation\.json is not of evaluate\.js/);
  assert.equal(readFileSync(join(out, 'evaluation.html'), 'utf8'), 'b');
});
