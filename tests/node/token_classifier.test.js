/** Labels of tokens and spans of a toy bundle: the label of each token is written here, and so are its scores. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { TokenClassifier } from '../../node_bridge/classifier/token_classifier.js';
import { UserError } from '../../node_bridge/support/errors.js';
import { writeToyBundle } from './toy_bundle.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const dir = mkdtempSync(join(tmpdir(), 'token-classifier-'));
after(() => rmSync(dir, { recursive: true }));

/**
 * Writes a bundle that gives each token the label that is written here with a probability of 0.75, and O to all others.
 *
 * @param {string} name
 * @param {'BIO' | 'BIOES' | 'none'} scheme
 * @param {string[]} labels O is the first
 * @param {Record<string, string>} tokens the label of each
 * @param {Partial<Parameters<typeof writeToyBundle>[1]>} [more]
 */
function write(name, scheme, labels, tokens, more = {}) {
  /** The score at which softmax gives 0.75. @param {string} label */
  const scoresOf = (label) => labels.map((one) => (one === label ? Math.log(3 * (labels.length - 1)) : 0));
  const scores = Object.fromEntries(Object.entries(tokens).map(([token, label]) => [token, scoresOf(label)]));
  const classifier = {
    task: /** @type {const} */ ('token_labels'),
    activation: /** @type {const} */ ('softmax'),
    labels,
    scheme,
  };
  writeToyBundle(join(dir, name), { classifier, scores, otherScores: scoresOf('O'), ...more });
  return join(dir, name);
}

/** @param {string} place @param {object} [options] */
const load = (place, options = {}) => TokenClassifier.load(place, { backend: 'cpu', ...options });

/** Spans as [label, text, start, end]. @param {import('../../node_bridge/classifier/token_classifier.js').TokenPrediction} prediction */
const brief = ({ spans }) => spans.map(({ label, text, start, end }) => [label, text, start, end]);

/** @param {number} got @param {number} expected */
function assertNear(got, expected) {
  assert.ok(Math.abs(got - expected) < 1e-6, `got ${got}, expected ${expected}`);
}

const BIO = ['O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC'];
const bio = write('bio', 'BIO', BIO, {
  张: 'B-PER',
  三: 'I-PER',
  北: 'B-LOC',
  京: 'I-LOC',
  '[UNK]': 'I-LOC',
  // Special tokens have labels too, but are no tokens of the text.
  '[CLS]': 'B-LOC',
  '[SEP]': 'I-LOC',
});

test('BIO: tokens and spans of Chinese text, special tokens left out', async () => {
  const classifier = await load(bio);
  assert.deepEqual([classifier.labels, classifier.scheme, classifier.problemType], [BIO, 'BIO', 'token_labels']);
  const prediction = await classifier.predict('张三在 北京');
  assert.deepEqual(Object.keys(prediction), ['text', 'tokens', 'spans']);
  assert.deepEqual(
    prediction.tokens.map(({ token, start, end, label }) => [token, start, end, label]),
    [
      ['张', 0, 1, 'B-PER'],
      ['三', 1, 2, 'I-PER'],
      ['在', 2, 3, 'O'],
      ['北', 4, 5, 'B-LOC'],
      ['京', 5, 6, 'I-LOC'],
    ],
  );
  for (const { probability } of prediction.tokens) assertNear(probability, 0.75);
  assert.deepEqual(brief(prediction), [
    ['PER', '张三', 0, 2],
    ['LOC', '北京', 4, 6],
  ]);
  for (const { score } of prediction.spans) assertNear(score, 0.75);
  const adjacent = await classifier.predict(['张三张三', '三京', '京三三', '张京', '', '  \t ', '在']);
  assert.deepEqual(adjacent.map(brief), [
    [
      ['PER', '张三', 0, 2],
      ['PER', '张三', 2, 4],
    ],
    [
      ['PER', '三', 0, 1],
      ['LOC', '京', 1, 2],
    ],
    [
      ['LOC', '京', 0, 1],
      ['PER', '三三', 1, 3],
    ],
    [
      ['PER', '张', 0, 1],
      ['LOC', '京', 1, 2],
    ],
    [],
    [],
    [],
  ]);
  assert.deepEqual([adjacent[4], adjacent[5].tokens], [{ text: '', tokens: [], spans: [] }, []]);
  classifier.dispose();
});

test('offsets are UTF-16 units: a character of two units is one token', async () => {
  const classifier = await load(bio);
  const prediction = await classifier.predict('在北😀京');
  assert.deepEqual(
    prediction.tokens.map(({ token, start, end }) => [token, start, end]),
    [
      ['在', 0, 1],
      ['北', 1, 2],
      ['[UNK]', 2, 4],
      ['京', 4, 5],
    ],
  );
  assert.deepEqual(brief(prediction), [['LOC', '北😀京', 1, 5]]);
  classifier.dispose();
});

test('wordpieces: the label of the first piece counts for the word, the score is the mean of all pieces', async () => {
  const labels = ['O', 'B-X', 'I-X'];
  const scores = { p: [0, Math.log(6), 0], '##l': [Math.log(6), 0, 0], h: [0, 0, Math.log(6)], 在: [Math.log(2), 0, 0] };
  const place = write('pieces', 'BIO', labels, {}, { scores, otherScores: [0, Math.log(2), 0] });
  const classifier = await load(place);
  const { tokens, spans } = await classifier.predict('play hello在');
  assert.deepEqual(
    tokens.map(({ token, label }) => [token, label]),
    [
      ['p', 'B-X'],
      ['##l', 'O'],
      ['##ay', 'B-X'],
      ['h', 'I-X'],
      ['##e', 'B-X'],
      ['##ll', 'B-X'],
      ['##o', 'B-X'],
      ['在', 'O'],
    ],
  );
  assert.deepEqual(
    spans.map(({ label, text, start, end }) => [label, text, start, end]),
    [['X', 'play hello', 0, 10]],
    'a piece whose own label is another one neither ends nor begins a span',
  );
  // B-X has 6/8 of p, 1/8 of ##l, 2/4 of ##ay; I-X has 6/8 of h and 1/4 of each piece after it.
  assertNear(spans[0].score, (6 / 8 + 1 / 8 + 2 / 4 + 6 / 8 + 3 / 4) / 7);
  classifier.dispose();
});

test('BIOES and BMES: ends, single ones and stray labels', async () => {
  const labels = ['O', 'B-T', 'I-T', 'E-T', 'S-T', 'M-T', 'E-U'];
  const tokens = { 一: 'B-T', 二: 'I-T', 三: 'E-T', 四: 'S-T', 五: 'M-T', 六: 'E-U' };
  const classifier = await load(write('bioes', 'BIOES', labels, tokens));
  const texts = ['一二三', '一三二', '三三', '四四', '一五三四', '二二', '一六二', '一四二'];
  const spans = (await classifier.predict(texts)).map(({ spans: found }) => found.map(({ label, text }) => label + text));
  assert.deepEqual(spans, [
    ['T一二三'],
    ['T一三', 'T二'],
    ['T三', 'T三'],
    ['T四', 'T四'],
    ['T一五三', 'T四'],
    ['T二二'],
    ['T一', 'U六', 'T二'],
    ['T一', 'T四', 'T二'],
  ]);
  classifier.dispose();
  const words = await load(write('bmes', 'BIOES', ['B', 'M', 'E', 'S'], { 一: 'B', 二: 'M', 三: 'E', 四: 'S' }));
  assert.deepEqual(brief(await words.predict('一二三四一三')), [
    ['', '一二三', 0, 3],
    ['', '四', 3, 4],
    ['', '一三', 4, 6],
  ]);
  words.dispose();
});

test('scheme none: runs of equal labels other than O; BIO labels without a prefix are runs too', async () => {
  const labels = ['O', 'B-X', 'noun'];
  for (const scheme of /** @type {const} */ (['none', 'BIO'])) {
    const classifier = await load(write(`runs-${scheme}`, scheme, labels, { 一: 'B-X', 二: 'noun' }));
    const { spans } = await classifier.predict('一一二二在二');
    const expected = { none: ['B-X一一', 'noun二二', 'noun二'], BIO: ['X一', 'X一', 'noun二二', 'noun二'] };
    assert.deepEqual(
      spans.map(({ label, text }) => label + text),
      expected[scheme],
    );
    classifier.dispose();
  }
});

test('a long text is cut at the length of the model; a fixed length adds no tokens', async () => {
  const place = write('fixed', 'BIO', BIO, { 张: 'B-PER', '[PAD]': 'B-LOC' }, { fixedLength: 6 });
  const classifier = await load(place);
  const [long, short] = await classifier.predict(['张张张张张张', '张']);
  assert.deepEqual([long.text, long.tokens.length, long.spans.length], ['张张张张张张', 4, 4]);
  assert.deepEqual([short.tokens.length, brief(short)], [1, [['PER', '张', 0, 1]]]);
  classifier.dispose();
  const free = await load(bio);
  const { tokens } = await free.predict('张'.repeat(600));
  assert.deepEqual([tokens.length, tokens.at(-1)?.end], [510, 510]);
  free.dispose();
});

test('streams, workers and broken elements', async () => {
  const texts = Array.from({ length: 150 }, (_, i) => `${'张三'.repeat(i % 4)}在${i}`);
  const [one, two] = [await load(bio), await load(bio, { workers: 2 })];
  const expected = await one.predict(texts);
  assert.deepEqual(
    expected.map(({ text, spans }) => [text, spans.length]),
    texts.map((text, i) => [text, i % 4]),
  );
  assert.deepEqual(await two.predict(texts), expected);
  const kept = [];
  const mixed = [texts[1], new Error('torn'), /** @type {any} */ ({ sentence1: '张', sentence2: '三' }), { text: texts[1] }];
  for await (const answer of one.stream(mixed, { keepBroken: true })) {
    kept.push('error' in answer ? answer.error.message : brief(answer).length);
  }
  assert.deepEqual(kept, [1, 'torn', 'got a pair, expected a single text, as the classifier was trained on', 1]);
  await assert.rejects(one.predict([/** @type {any} */ (7)]), /texts\[0\]: got 7/);
  assert.throws(() => one.stream([], /** @type {any} */ ({ top: 1 })), /stream has no option `top`/);
  one.dispose();
  two.dispose();
});

test('predict.js gives tokens and spans; what is refused is one line', async () => {
  const command = (/** @type {string[]} */ args, input = '') => {
    const words = [join(root, 'node_bridge', 'predict.js'), '--backend', 'cpu', '--model', bio, ...args];
    return spawnSync(process.execPath, words, { input, encoding: 'utf8' });
  };
  const lines = '{"text":"张三","tokens":1,"label":2}\n{"sentence1":"张","sentence2":"三"}\n';
  const { status, stdout, stderr } = command(['--jsonl'], lines);
  const [row, broken] = stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
  assert.equal(status, 2);
  assert.deepEqual([row.tokens.length, brief(row), row.input_tokens, row.label], [2, [['PER', '张三', 0, 2]], 1, 2]);
  assert.deepEqual([broken.line, stderr.startsWith('stdin:2: got a pair, expected a single text')], [2, true]);
  const refused = command(['--top', '2'], '张三\n');
  assert.deepEqual([refused.status, refused.stdout], [2, '']);
  assert.match(refused.stderr, /^error: --top ranks the labels of a text, but .* decides token_labels; leave it out\n$/);

  writeToyBundle(join(dir, 'text'), { classifier: { task: 'single_label', activation: 'softmax', labels: ['a', 'b'] } });
  writeToyBundle(join(dir, 'encoder'));
  await assert.rejects(load(join(dir, 'text')), /labels texts \(single_label\); open it with Classifier$/);
  await assert.rejects(load(join(dir, 'encoder')), /is a bundle without a classifier; /);
  await assert.rejects(load(dir), (error) => error instanceof UserError && /is not a bundle/.test(error.message));
});
