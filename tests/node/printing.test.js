/** Texts of others reach the terminal clean, and nothing gets there another way. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Decisions } from '../../node_bridge/classifier/evaluation/evaluation.js';
import { computeMetrics } from '../../node_bridge/classifier/evaluation/metrics.js';
import { renderTrainingPage } from '../../node_bridge/classifier/training/training_page.js';
import { CheckFailed, describeFailure, EnvironmentProblem, UserError } from '../../node_bridge/support/errors.js';
import { toJsonLine, toPrintable, toPrintableLine } from '../../node_bridge/support/printable.js';
import { writeToyBundle } from './toy_bundle.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const dir = mkdtempSync(join(tmpdir(), 'printing-'));
after(() => rmSync(dir, { recursive: true }));

/** What a terminal, a log or a reader's eye would obey. */
const HOSTILE = [
  '\x1b]0;x\x07',
  '\x9b31m',
  'a\n::error::x',
  'a\rb',
  '\u202egnp.exe',
  '\u2066x\u2069',
  'a\u2028b',
  '\x7f\x00',
  '\u200f',
];
const SEEN = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|^\s*::|##\[/m;

/** @param {string} script @param {string[]} args @param {string} [input] */
function command(script, args, input = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'node_bridge', script), ...args], {
    input,
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

test('control characters in a text are escaped, and it stays in its line', () => {
  assert.equal(toPrintable('a\x1b]0;x\x07\n::error::x\t\r'), 'a\\u001b]0;x\\u0007\\n::error::x\\t\\r');
  assert.equal(toPrintable('\x9b31m\u202e'), '\\u009b31m\\u202e');
  assert.equal(toPrintable('这本书很好 é 😀 ‍'), '这本书很好 é 😀 ‍');
  assert.equal(toPrintableLine('  ::error::x'), '  \\u003a:error::x');
  assert.equal(toPrintableLine('a ::b ##[error]c ##vso[task]d'), 'a ::b #\\u0023[error]c #\\u0023vso[task]d');
  for (const text of HOSTILE) assert.doesNotMatch(toPrintableLine(text), SEEN);
});

test('the message of an error is one line by itself, whatever names it holds', () => {
  for (const Kind of [UserError, EnvironmentProblem, CheckFailed]) {
    assert.equal(new Kind('a\n::error::x').message, 'a\\n::error::x');
    assert.equal(new Kind('as it is').message, 'as it is');
    for (const text of HOSTILE) assert.doesNotMatch(new Kind(`op ${text}`).message, SEEN);
  }
  // Nothing is cut, and a message that becomes part of another one stays the same.
  const message = new UserError(`${'x'.repeat(5000)}\n`).message;
  assert.equal(message, `${'x'.repeat(5000)}\\n`);
  assert.equal(new UserError(message).message, message);
});

test('a long text keeps both ends', () => {
  const cut = toPrintable(`begin${'x'.repeat(1e6)}end`);
  assert(cut.length < 2100);
  assert.match(cut, /^begin.*\(998008 characters left out\).*end$/);
  assert.equal(toPrintable('x'.repeat(2000)).length, 2000);
});

test('escaped JSON has the same value', () => {
  const value = { ...Object.fromEntries(HOSTILE.map((text) => [text, text])), '##[error]x': '##vso[a]', 好: '😀' };
  const line = toJsonLine(value);
  assert.deepEqual(JSON.parse(line), value);
  assert.doesNotMatch(line, SEEN);
});

test('only printing.js, the progress bar and two programs in backends write to the terminal', () => {
  const files = readdirSync(join(root, 'node_bridge'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.js'),
  );
  const writers = files.filter((name) => {
    const code = readFileSync(join(root, 'node_bridge', name), 'utf8').replace(/^\s*\*.*$/gm, '');
    return /process\.std(out|err)\.write|\bconsole\.\w+\(/.test(code);
  });
  // The two in backends are run by this repository's own programs, on no file of others.
  assert.deepEqual(writers.sort(), ['backends/check_native.js', 'backends/kernels.js', 'support/printing.js']);
});

test('system errors have their exit codes; a defect has 70 and no stack', () => {
  const system = (/** @type {string} */ code) =>
    describeFailure(Object.assign(new Error(code), { code, path: '/x', syscall: 'open' }));
  for (const code of ['EACCES', 'EISDIR', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP']) assert.equal(system(code).exitCode, 2, code);
  for (const code of ['ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS', 'EIO', 'ENOMEM', 'EMFILE', 'ENFILE', 'EXYZ'])
    assert.equal(system(code).exitCode, 3, code);
  assert.match(system('ENOSPC').line, /^the disk is full at \/x \(ENOSPC\); /);
  for (const make of [() => new Float32Array(1e13), () => new ArrayBuffer(1e15), () => 'x'.repeat(2 ** 30)]) {
    assert.throws(make, (error) => describeFailure(error).exitCode === 3 && /memory/.test(describeFailure(error).line));
  }
  const { line, exitCode } = describeFailure(new TypeError("Cannot read properties of undefined (reading 'x')"));
  assert.equal(exitCode, 70);
  assert.match(
    line,
    /^internal error, please report it: TypeError: Cannot read .* \(printing\.test\.js:\d+\); BERT_BRIDGE_DEBUG=1 shows where$/,
  );
  for (const thrown of [undefined, null, 'text', 5]) assert.equal(describeFailure(thrown).exitCode, 70);
});

test('a stack is shown only on request', () => {
  const program = join(dir, 'defect.mjs');
  writeFileSync(
    program,
    `import { runCommand } from ${JSON.stringify(join(root, 'node_bridge', 'support', 'command_line.js'))};
    await runCommand({ description: '', options: {}, main: async () => { throw new TypeError('a\\n::error::b'); } });`,
  );
  const { BERT_BRIDGE_DEBUG: _, ...env } = process.env;
  const plain = spawnSync(process.execPath, [program], { env, encoding: 'utf8' });
  assert.equal(plain.status, 70);
  assert.match(plain.stderr, /^error: internal error, please report it: TypeError: a ::error::b [^\n]*\n$/);
  const debug = spawnSync(process.execPath, [program], { env: { ...env, BERT_BRIDGE_DEBUG: '1' }, encoding: 'utf8' });
  assert.equal(debug.status, 70);
  assert.match(debug.stderr, /\n {4}at /);
  assert.doesNotMatch(debug.stderr, SEEN);
});

test('warnings of a library and unhandled rejections are cleaned too', () => {
  const program = join(dir, 'stray.mjs');
  writeFileSync(
    program,
    `import { runCommand } from ${JSON.stringify(join(root, 'node_bridge', 'support', 'command_line.js'))};
    await runCommand({ description: '', options: {}, main: async () => {
      console.warn('op \\x1b[31m', '\\n::error::x');
      void Promise.reject(Object.assign(new Error('x'), { code: 'ENOSPC', path: '/d\\n::error::y' }));
      await new Promise((done) => setTimeout(done, 1000));
    } });`,
  );
  const { status, stdout, stderr } = spawnSync(process.execPath, [program], { encoding: 'utf8' });
  assert.equal(status, 3);
  assert.equal(stdout, '');
  assert.doesNotMatch(stderr, SEEN);
  assert.match(stderr, /error: the disk is full at \/d\\n::error::y \(ENOSPC\)[^\n]*\n$/);
});

test('a full stdout is a problem of the machine, a closed one is no error', { skip: process.platform === 'win32' }, () => {
  const bundle = join(dir, 'toy');
  writeToyBundle(bundle);
  const line = (/** @type {string} */ to) =>
    spawnSync(
      'sh',
      [
        '-c',
        `yes 好 | head -20000 | "$0" "$1" --bundle "$2" ${to}`,
        process.execPath,
        join(root, 'node_bridge', 'tokenize.js'),
        bundle,
      ],
      { encoding: 'utf8' },
    );
  const full = line('> /dev/full');
  assert.equal(full.status, 3, full.stderr);
  assert.match(full.stderr, /^error: the disk is full at stdout \(ENOSPC\)[^\n]*\n$/);
  const closed = line('| head -1 > /dev/null');
  assert.equal(closed.stderr, '');
});

test('hostile labels, names and paths in training are escaped on the terminal', () => {
  const bundle = join(dir, 'b');
  cpSync(join(root, 'artifacts', 'bundle', 'albert_tiny'), bundle, { recursive: true });
  const data = join(dir, 'data\n::error::file.jsonl');
  const rows = HOSTILE.flatMap((label) =>
    Array.from({ length: 3 }, (_, i) => ({ text: `好${i}${label}`, label: `l${label}`, '::x\x1b': 1 })),
  );
  writeFileSync(data, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const out = join(dir, 'c\u202e');
  const args = [
    '--bundle',
    bundle,
    '--train',
    data,
    '--dev',
    data,
    '--backend',
    'wasm',
    '--workers',
    '1',
    '--max-length',
    '8',
    '--epochs',
    '1',
    '--cache',
    join(dir, 'cache'),
    '--out',
    out,
  ];
  const table = command('train.js', args);
  assert.equal(table.status, 0, table.stderr);
  assert.doesNotMatch(table.stdout + table.stderr, SEEN);
  const json = command('train.js', [...args, '--json', '--force']);
  assert.doesNotMatch(json.stdout + json.stderr, SEEN);
  assert.deepEqual(new Set(JSON.parse(json.stdout).labels), new Set(HOSTILE.map((label) => `l${label}`.trim())));
  assert.doesNotMatch(readFileSync(join(out, 'training.html'), 'utf8'), /\u202e|\x1b/);

  const evaluated = command('evaluate.js', ['--model', out, '--data', data, '--backend', 'wasm', '--out', join(dir, 'e\u202e')]);
  assert.equal(evaluated.status, 0, evaluated.stderr);
  const files = ['html', 'json'].map((end) => readFileSync(join(dir, 'e\u202e', `evaluation.${end}`), 'utf8'));
  const errors = readFileSync(join(dir, 'e\u202e', 'errors.jsonl'), 'utf8');
  for (const text of [evaluated.stdout, evaluated.stderr, ...files, errors]) assert.doesNotMatch(text, SEEN);

  const predicted = command(
    'predict.js',
    ['--model', out, '--jsonl'],
    `${JSON.stringify({ text: HOSTILE.join(''), 'x\u202e': '##[error]' })}\n{"\x9b\u202e\n`,
  );
  assert.equal(predicted.status, 2);
  assert.doesNotMatch(predicted.stdout + predicted.stderr, SEEN);
  assert.equal(JSON.parse(predicted.stdout.split('\n')[0]).text, HOSTILE.join(''));
});

test('hostile options give one line', () => {
  const scripts = ['train.js', 'predict.js', 'encode.js', 'tokenize.js', 'verify.js'];
  for (const [i, text] of HOSTILE.filter((one) => !one.includes('\0')).entries()) {
    const args = [
      [`--${text}`, 'x'],
      ['--bundle', join(dir, text)],
      ['--backend', text],
      ['--encoding', text],
    ][i % 4];
    const { status, stdout, stderr } = command(scripts[i % 5], args);
    assert.equal(status, 2, `${scripts[i % 5]} ${JSON.stringify(args)}: ${stderr}`);
    assert.match(stderr, /^error: [^\n]*\n$/);
    assert.doesNotMatch(stdout + stderr, SEEN);
  }
});

test('labels in training.html are escaped', () => {
  const labels = ['<script>alert(1)</script>', '"><img src=x>', '\u202e</details>', '&amp;'];
  const decisions = new Decisions(4, 4);
  for (const label of [0, 1, 2, 3])
    decisions.add(
      Float32Array.from(labels, (_, i) => Number(i === label)),
      label,
    );
  const page = renderTrainingPage({
    name: '</title><script>',
    trained: false,
    history: [
      { epoch: 1, loss: 1, accuracy: 1, devLoss: 1, devAccuracy: 1, devMacroF1: 1, learningRate: 1, seconds: 1, tensors: 1 },
    ],
    bestEpoch: 1,
    bestBy: '<b>',
    data: [['<img>', '"><img src=x>']],
    settings: [['<script>', '</table><script>']],
    metrics: computeMetrics(decisions.summarize(), labels),
    wrong: [{ line: 3, label: labels[0], predicted: labels[1], probability: 0.5, text: '</td><script>\u202e' }],
    warnings: ['</ul><script>'],
  });
  assert.doesNotMatch(page, /<script|<img|by <b>|\u202e|<\/details/);
  assert.match(page, /&lt;script&gt;alert\(1\)/);
});
