/** `train.js` as a person uses it: killed at bad moments, with a damaged cache, on all cores. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { readSafetensors, writeSafetensors } from '../../node_bridge/support/safetensors.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const program = join(root, 'node_bridge', 'train.js');
const dir = mkdtempSync(join(tmpdir(), 'train-command-'));
after(() => rmSync(dir, { recursive: true }));
/** More texts than a batch has. */
const TEXTS = 1900;

/** @type {string[]} */
let options;
before(() => {
  const data = readFileSync(join(root, 'artifacts', 'data', 'train.jsonl'), 'utf8')
    .split('\n')
    .slice(0, TEXTS);
  writeFileSync(join(dir, 'data.jsonl'), `${data.join('\n')}\n`);
  options = ['--train', join(dir, 'data.jsonl'), '--split', '0.1', '--max-length', '6', '--epochs', '3', '--backend', 'wasm'];
});

/** @param {string} name of cache and classifier @param {string[]} [more] */
function args(name, more = []) {
  return [program, ...options, '--cache', join(dir, `${name}.cache`), '--out', join(dir, name), ...more];
}

/** @param {string} name @param {string[]} [more] */
function train(name, more) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args(name, more), { encoding: 'utf8' });
  return { status, stdout, stderr, weights: status === 0 ? readFileSync(join(dir, name, 'weights.bin')) : undefined };
}

/** The files of a folder of a cache, or of its first folder. @param {string} name @param {string} kind @returns {string[]} */
function listCache(name, kind) {
  const folder = join(dir, `${name}.cache`, kind);
  if (!existsSync(folder)) return [];
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.safetensors'));
  return paths.map((path) => join(folder, path));
}

test('killed after a shard and after an epoch, the same command ends with the weights of an uninterrupted run', async () => {
  const whole = train('whole', ['--workers', '1']);
  assert.equal(whole.status, 0, whole.stderr);
  assert(listCache('whole', 'features').length > 1);
  assert.deepEqual(listCache('whole', 'training'), []);

  const seen = [];
  for (const kind of ['features', 'training']) {
    const child = spawn(process.execPath, args('killed', ['--workers', '2']), { stdio: 'ignore' });
    const ended = new Promise((done) => child.once('exit', (_, signal) => done(signal)));
    while (listCache('killed', kind).length === 0 && child.exitCode === null) await sleep(5);
    child.kill('SIGKILL');
    assert.equal(await ended, 'SIGKILL', 'killed before its end');
    assert.equal(existsSync(join(dir, 'killed')), false, 'nothing is half-written');
    seen.push(listCache('killed', kind).length);
  }
  assert(seen.every((count) => count > 0));
  const last = train('killed', ['--workers', '2']);
  assert.equal(last.status, 0, last.stderr);
  assert.match(last.stderr, /going on after epoch \d, which an earlier run finished/);
  assert.deepEqual(last.weights, whole.weights);
});

test('the same command again says that it is done; with other settings or texts it is refused', () => {
  const same = train('whole', ['--workers', '2']);
  assert.equal(same.status, 0, same.stderr);
  assert.match(
    same.stdout,
    /whole is trained already, with these settings on these texts .*--force trains it again; next:\n {2}echo /,
  );
  const json = train('whole', ['--json']);
  const { already_trained: already, dev_accuracy: accuracy, golden } = JSON.parse(json.stdout);
  assert.deepEqual([json.status, already, golden], [0, true, undefined]);
  assert(accuracy > 0 && accuracy < 1);

  // The same texts with the two labels swapped.
  const lines = readFileSync(join(dir, 'data.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  writeFileSync(join(dir, 'swapped.jsonl'), lines.map((row) => `${JSON.stringify({ ...row, label: 1 - row.label })}\n`).join(''));
  const swapped = [
    program,
    '--train',
    join(dir, 'swapped.jsonl'),
    ...options.slice(2),
    '--cache',
    join(dir, 'whole.cache'),
    '--out',
    join(dir, 'whole'),
  ];
  const { status, stderr } = spawnSync(process.execPath, swapped, { encoding: 'utf8' });
  assert.equal(status, 2, stderr);
  assert.match(stderr, /^error: .*whole is a finished classifier, trained with other settings or texts; /);
});

test('a finished classifier is replaced only with --force, and then no text is encoded again', () => {
  const { status, stdout, stderr } = train('whole', ['--seed', '2']);
  assert.deepEqual([status, stdout], [2, '']);
  assert.match(stderr, /^error: .*whole is a finished classifier, .*--force to replace it\n$/);
  const before = readFileSync(join(dir, 'whole', 'weights.bin'));
  const forced = train('whole', ['--force', '--json']);
  assert.equal(forced.status, 0, forced.stderr);
  assert.match(forced.stderr, /all vectors are in /);
  assert.deepEqual(forced.weights, before);
  const { texts, history, best_epoch: best, dev_macro_f1: f1 } = JSON.parse(forced.stdout);
  assert.equal(texts.train + texts.dev, TEXTS);
  assert.equal(history.length, 3);
  assert(best >= 1 && best <= 3 && f1 > 0 && f1 < 1);
  const log = readFileSync(join(dir, 'whole', 'log.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    log.map(({ epoch }) => epoch),
    [1, 2, 3],
  );
});

for (const task of ['single', 'pair']) {
  test(`a classifier has no training text and no dev text in its files: ${task}`, () => {
    const marker = '秘密客户'; // nothing of it is in the bundle's own golden texts
    const rows = Array.from({ length: 12 }, (_, i) => {
      const texts = task === 'pair' ? { sentence1: `${marker}${i}`, sentence2: `${marker}的回答` } : { text: `${marker}${i}` };
      return { ...texts, label: i % 2 };
    });
    const data = join(dir, `${task}.jsonl`);
    const out = join(dir, `${task}.classifier`);
    writeFileSync(data, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const settings = [
      '--train',
      data,
      '--dev',
      data,
      '--epochs',
      '1',
      '--max-length',
      '16',
      '--backend',
      'wasm',
      '--cache',
      join(dir, 'private.cache'),
    ];
    const { status, stderr } = spawnSync(process.execPath, [program, ...settings, '--out', out], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    const files = readdirSync(out, { recursive: true, encoding: 'utf8' });
    assert(files.length >= 5);
    const escaped = [...marker].map((c) => `\\u${c.charCodeAt(0).toString(16)}`).join('');
    for (const name of files) {
      const bytes = readFileSync(join(out, name));
      for (const text of [marker, escaped, `${task}.jsonl`]) assert.equal(bytes.indexOf(text), -1, `${name} holds ${text}`);
    }

    // It has the answers to the bundle's golden texts, by which a copy can be checked; predict gives them again.
    const { golden } = JSON.parse(readFileSync(join(out, 'classifier.json'), 'utf8'));
    const { metadata } = readSafetensors(readFileSync(join(root, 'artifacts', 'bundle', 'albert_tiny', 'golden.safetensors')));
    /** @type {string[]} */
    const texts = JSON.parse(metadata.texts);
    const expected = texts.map((text, i) =>
      task === 'pair' ? { sentence1: text, sentence2: texts[(i + 1) % texts.length] } : { text },
    );
    const input = expected.map((text) => `${JSON.stringify(text)}\n`).join('');
    const script = join(root, 'node_bridge', 'predict.js');
    const predicted = spawnSync(process.execPath, [script, '--model', out, '--jsonl', '--backend', 'wasm'], {
      input,
      encoding: 'utf8',
    });
    const answers = predicted.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const again = answers.map(({ probability: _, probabilities, ...rest }) => ({
      ...rest,
      probabilities: Object.values(probabilities),
    }));
    assert.deepEqual(golden, again);
  });
}

test('a damaged shard is detected and its texts are encoded again, with the same weights', () => {
  const [path] = listCache('whole', 'features').sort();
  const bytes = readFileSync(path);
  writeFileSync(path, Buffer.from(bytes).fill(7, bytes.length - 40, bytes.length - 36));
  const before = readFileSync(join(dir, 'whole', 'weights.bin'));
  const { status, stderr, weights } = train('whole', ['--force']);
  assert.equal(status, 0, stderr);
  assert.match(stderr, /\.safetensors is damaged; its texts are encoded again\n/);
  assert.deepEqual(weights, before);
  assert.deepEqual(readFileSync(path), bytes);
});

test('Ctrl-C says that the same command goes on', async () => {
  const child = spawn(process.execPath, args('interrupted'), { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    said += text;
    if (/cut at 6 positions/.test(said) && !child.killed) child.kill('SIGINT');
  });
  const code = await new Promise((done) => child.once('exit', done));
  assert.equal(code, 130);
  assert.match(said, /stopped; what is finished is saved, and the same command goes on from there\n$/);
});

test('the number of cut texts is reported also if all vectors are in the cache; no tensor count is', () => {
  const { stderr, stdout } = train('whole', ['--force', '--json']);
  assert.match(stderr, /all vectors are in /);
  assert.match(
    stderr,
    /^\d+ of 1900 texts \(9\d\.\d %\) are cut at 6 positions and lose 9\d\.\d % of all tokens; the longest has \d+, see --max-length and --long$/m,
  );
  assert.match(stderr, /^epoch 1 of 3: [^\n]*, dev accuracy \d+\.\d %, macro-F1 \d+\.\d %$/m);
  assert.match(
    stderr,
    /^dev accuracy \d+\.\d % \(95 % interval \d+\.\d to \d+\.\d %; majority baseline \d+\.\d %, always "[01]"\)$/m,
  );
  assert.doesNotMatch(stderr, /tensors/);
  const {
    data,
    best_by: bestBy,
    dev_accuracy: accuracy,
    dev_accuracy_interval: interval,
    majority_accuracy: majority,
  } = JSON.parse(stdout);
  assert.equal(bestBy, 'accuracy');
  assert(interval[0] < accuracy && accuracy < interval[1]);
  assert.equal(majority, data.majority.dev_accuracy);
  assert(data.cut.texts > 1500 && data.cut.tokens_lost_share > 0.5);
  assert.equal(data.warnings.length > 0, true);
  const page = readFileSync(join(dir, 'whole', 'training.html'), 'utf8');
  for (const line of data.warnings) assert.ok(page.includes(line.replaceAll(`${dir}/`, '').replaceAll('"', '&quot;')), line);
  assert.ok(!page.includes(dir), 'a path of this machine in a page that is passed on');
});

test('--split depends on --seed and has the same shares of labels', () => {
  const rows = readFileSync(join(dir, 'data.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const share = rows.filter(({ label }) => String(label) === '1').length / rows.length;
  const { confusion } = JSON.parse(train('whole', ['--force', '--json']).stdout);
  const ones = confusion[1][0] + confusion[1][1];
  assert.equal(
    confusion.flat().reduce((/** @type {number} */ a, /** @type {number} */ b) => a + b),
    190,
  );
  assert(Math.abs(ones - 190 * share) <= 1, `${ones} of 190, expected ${190 * share}`);
});

test('another --best-by does not continue an earlier run; the classifier records it', async () => {
  const child = spawn(process.execPath, args('by', ['--workers', '1']), { stdio: 'ignore' });
  const ended = new Promise((done) => child.once('exit', done));
  while (listCache('by', 'training').length === 0 && child.exitCode === null) await sleep(5);
  child.kill('SIGKILL');
  await ended;
  const other = train('by', ['--best-by', 'macro-f1']);
  assert.equal(other.status, 0, other.stderr);
  assert.doesNotMatch(other.stderr, /going on after epoch/);
  assert.match(other.stdout, /epoch \d is the best by macro-f1/);
  assert.equal(JSON.parse(readFileSync(join(dir, 'by', 'classifier.json'), 'utf8')).best_by, 'macro-f1');
});

test('a table without header in GBK loads with the options that the errors name', () => {
  const good = [...Buffer.from('bac3cae9', 'hex')]; // 好书
  const bad = [...Buffer.from('bbb5cae9', 'hex')]; // 坏书
  const rows = Array.from({ length: 40 }, (_, i) => [...(i % 2 === 0 ? good : bad), ...Buffer.from(`${i}\t${1 - (i % 2)}\n`)]);
  const path = join(dir, 'gbk.txt');
  writeFileSync(path, Buffer.from(rows.flat()));
  const load = (/** @type {string[]} */ more) => {
    const allArgs = [
      '--train',
      path,
      '--split',
      '0.2',
      '--out',
      join(dir, 'gbk'),
      '--cache',
      join(dir, 'gbk.cache'),
      '--epochs',
      '1',
      '--backend',
      'wasm',
      ...more,
    ];
    const { status, stderr } = spawnSync(process.execPath, [program, ...allArgs], { encoding: 'utf8' });
    return { status, stderr };
  };
  const first = load([]);
  assert.deepEqual(first, {
    status: 2,
    stderr: `error: ${path} is not UTF-8 but GB18030 (GBK), it reads “好书0\\t1”; add --encoding gb18030\n`,
  });
  const second = load(['--encoding', 'gb18030']);
  assert.equal(second.status, 2);
  assert.match(
    second.stderr,
    /^error: \S+gbk\.txt:1: the first line does not say which column is the text: [^\n]+; add --no-header --columns text,label\n$/,
  );
  const third = load(['--encoding', 'gb18030', '--no-header', '--columns', 'text,label']);
  assert.equal(third.status, 0, third.stderr);
  assert.match(third.stderr, /^32 training and 8 dev texts \(single\), labels 0, 1;/m);
});

const MISTAKES = /** @type {[string[], RegExp][]} */ ([
  [['--head', 'lstm'], /--head to be one of dense, bilstm, linear, got `lstm`/],
  [['--schedule', 'toString'], /--schedule to be one of constant, linear, cosine/],
  [['--best-by', 'f1'], /--best-by to be one of accuracy, macro-f1, got `f1`/],
  [['--encoding', 'ascii'], /--encoding to be one of utf-8, gb18030, .*, got `ascii`/],
  [['--columns', 'text'], /--columns to be the columns in order, such as label,text/],
  [['--no-header'], /holds JSON, whose fields have names: got --no-header/],
  [['--split', '1'], /--split to be a number between 0 and 1, got `1`/],
  [['--dev', 'x'], /--dev or --split, got both/],
  [['--class-weights', '{"0":1}'], /positive number for each of 0, 1, got/],
  [['--class-weights', 'fair'], /equal, balanced or a JSON object, got `fair`/],
  [['--patience', '0'], /--patience to be a whole number from 1/],
  [['--workers', '0'], /--workers to be a whole number from 1/],
]);
for (const [more, message] of MISTAKES) {
  test(`train.js refuses ${more.join(' ')} with one error line`, () => {
    // It replaces the usual value, since an option that is there twice is an error of its own.
    const usual = args('mistaken');
    const at = usual.indexOf(more[0]);
    const typed = at === -1 ? [...usual, ...more] : usual.toSpliced(at, 2, ...more);
    const { status, stdout, stderr } = spawnSync(process.execPath, typed, { encoding: 'utf8' });
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, /^error: [^\n]+\n$/);
    assert.match(stderr, message);
  });
}

test('a bundle whose golden cases fail here is not used for training; one that passes is checked once', () => {
  const bundle = join(dir, 'altered');
  cpSync(join(root, 'artifacts', 'bundle', 'albert_tiny'), bundle, { recursive: true });
  const golden = join(bundle, 'golden.safetensors');
  const { tensors, metadata } = readSafetensors(readFileSync(golden));
  tensors.sequence_output.data[0] += 0.01;
  writeSafetensors(golden, tensors, metadata);
  const contract = JSON.parse(readFileSync(join(bundle, 'bundle.json'), 'utf8'));
  const sha256 = createHash('sha256').update(readFileSync(golden)).digest('hex');
  contract.files['golden.safetensors'] = { sha256, size: statSync(golden).size };
  writeFileSync(join(bundle, 'bundle.json'), JSON.stringify(contract));
  const { status, stderr } = train('refused', ['--bundle', bundle]);
  assert.equal(status, 1, stderr);
  assert.match(
    stderr,
    /error: .*altered: on backend wasm the golden cases are not what Python gave: sequence_output of "你好": got/,
  );
  assert.deepEqual(existsSync(join(dir, 'refused')), false);
  assert.deepEqual(listCache('refused', 'features'), []);
  assert.equal(readdirSync(join(dir, 'whole.cache', 'verified')).length, 1, 'by the runs above');
});
