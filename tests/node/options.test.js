/** Options: a command, or a function, says in one line what it does not know, and before any work. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Classifier, UserError } from '../../node_bridge/index.js';
import { findNearestName } from '../../node_bridge/support/option_names.js';
import {
  choiceOption,
  flagOption,
  formatOptions,
  positiveNumberOption,
  requiredOption,
  textOption,
  wholeNumberOption,
} from '../../node_bridge/support/options.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const bundle = join(root, 'artifacts', 'bundle', 'albert_tiny');
const dir = mkdtempSync(join(tmpdir(), 'options-'));
after(() => rmSync(dir, { recursive: true }));

/** @param {string} script @param {string[]} args */
function command(script, args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'node_bridge', `${script}.js`), ...args], {
    input: '',
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

const NOWHERE = join(dir, 'nowhere');
const MISTAKES = /** @type {[string, string[], RegExp][]} */ ([
  ['train', ['--epoch', '3'], /There is no option --epoch; did you mean --epochs\?/],
  ['train', ['--epcohs=3'], /There is no option --epcohs; did you mean --epochs\?/],
  ['train', ['-epochs', '3'], /There is no option -epochs; did you mean --epochs\?/],
  ['train', ['--batch_size', '3'], /There is no option --batch_size; did you mean --batch-size\?/],
  ['train', ['--batch', '3'], /did you mean --batch-size\?/],
  ['train', ['--frobnicate'], /There is no option --frobnicate; try --help/],
  ['train', ['epochs', '3'], /Expected options only, got `epochs`; did you mean --epochs\?/],
  ['train', ['reviews.jsonl'], /Expected options only, got `reviews.jsonl`; try --help/],
  ['train', ['--epochs'], /Expected a value after --epochs, got none/],
  ['train', ['--out', '--force'], /Expected a value after --out, got the option --force/],
  ['train', ['--out='], /Expected a value after --out, got an empty one/],
  ['train', ['--json=yes'], /Expected --json without a value, got `yes`/],
  ['train', ['--seed', '1', '--seed', '2'], /Got --seed twice/],
  ['train', ['--learning-rate', '-1'], /Expected --learning-rate to be a positive number, got `-1`/],
  // These were seen only after the data had been read.
  [
    'train',
    ['--backend', 'wsam', '--train', NOWHERE, '--dev', NOWHERE],
    /--backend to be one of auto, native, wasm, cpu, got `wsam`; did you mean wasm\?/,
  ],
  [
    'train',
    ['--class-weights', 'fair', '--train', NOWHERE, '--dev', NOWHERE],
    /--class-weights to be equal, balanced or a JSON object/,
  ],
  ['predict', ['--modle', 'x', '好'], /There is no option --modle; did you mean --model\?/],
  ['predict', ['--model', 'x', '--topk', '3'], /There is no option --topk; did you mean --top\?/],
  ['evaluate', ['--modle', 'x'], /There is no option --modle; did you mean --model\?/],
  ['evaluate', ['--model', 'x', '--data', 'y', 'z'], /Expected options only, got `z`/],
  ['encode', ['--oot', 'x'], /There is no option --oot; did you mean --out\?/],
  ['encode', ['--bundle', bundle, '--out', 'x', 'texts.txt'], /Expected options only, got `texts.txt`/],
  ['tokenize', ['--bundel', 'x'], /There is no option --bundel; did you mean --bundle\?/],
  ['tokenize', ['--bundle', bundle, '好'], /Expected options only, got `好`/],
  ['tokenize', ['--bundle', bundle, '--max-length', 'ten'], /--max-length to be a whole number from 1 to \d+, got `ten`/],
  ['verify', ['--text', '3'], /There is no option --text; did you mean --texts\?/],
  ['verify', ['--bundle', bundle, 'x'], /Expected options only, got `x`/],
  ['verify', ['--bundle', NOWHERE, '--backend', 'webgpu'], /--backend to be one of auto, native, wasm, cpu, got `webgpu`/],
]);
for (const [script, args, message] of MISTAKES) {
  test(`refused with one error line: ${script}.js ${args.map((arg) => arg.replace(dir, '').replace(root, '')).join(' ')}`, () => {
    const { status, stdout, stderr } = command(script, args);
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, /^error: [^\n]+\n$/);
    assert.match(stderr, message);
  });
}

/** A command with an option of each kind. */
const KINDS = {
  bundle: requiredOption({ value: 'DIR', help: 'the bundle' }),
  maxLength: wholeNumberOption({ help: 'positions', least: 3, most: 512, default: 128 }),
  share: positiveNumberOption({ value: 'X', help: 'of the texts', below: 1 }),
  head: choiceOption({
    help: 'the layers',
    names: ['dense', 'linear'],
    meanings: { dense: 'one', linear: 'none' },
    default: 'dense',
  }),
  backend: choiceOption({ names: ['auto', 'wasm'], default: 'auto' }),
  patience: wholeNumberOption({ help: 'epochs', default: Infinity, defaultText: 'never' }),
  aVeryLongOptionName: textOption({ value: 'FILE', help: `${'word '.repeat(30)}end` }),
  force: flagOption('replaces'),
};

test('the help is made of the table: names, values, choices and defaults, in lines that fit a terminal', () => {
  const lines = formatOptions(KINDS);
  assert.deepEqual(lines.slice(0, 8), [
    '  --bundle DIR    the bundle',
    '  --max-length N  positions; default: 128',
    '  --share X       of the texts',
    '  --head NAME     the layers:',
    '                    dense (default)  one',
    '                    linear           none',
    '  --backend NAME  auto (default), wasm',
    '  --patience N    epochs; default: never',
  ]);
  assert.equal(lines[8], '  --a-very-long-option-name FILE');
  assert.match(lines[9], /^ {18}word word/);
  assert.deepEqual(lines.slice(-2), ['  --force         replaces', '  -h, --help      prints this help']);
  for (const line of lines) assert(line.length <= 100, line);
});

test('each kind of option parses its value, and names itself in an error', () => {
  assert.deepEqual([KINDS.maxLength.parse('128', '--max-length'), KINDS.share.parse('1e-3', '--share')], [128, 0.001]);
  assert.deepEqual([KINDS.head.parse('linear', '--head'), KINDS.force.parse('', '--force')], ['linear', true]);
  for (const [key, typed, message] of /** @type {[keyof typeof KINDS, string, string][]} */ ([
    ['maxLength', '2', 'Expected --x to be a whole number from 3 to 512, got `2`'],
    ['maxLength', '3.5', 'Expected --x to be a whole number from 3 to 512, got `3.5`'],
    ['patience', '1000001', 'Expected --x to be a whole number from 1 to 1000000, got `1000001`'],
    ['share', '1', 'Expected --x to be a number between 0 and 1, got `1`'],
    ['head', 'dens', 'Expected --x to be one of dense, linear, got `dens`; did you mean dense?'],
  ])) {
    assert.throws(() => KINDS[key].parse(typed, '--x'), new UserError(message));
  }
});

test('a required option that is missing is named before any work', () => {
  for (const [script, message] of [
    ['encode', 'Expected --bundle and --out; try --help.'],
    ['tokenize', 'Expected --bundle; try --help.'],
    ['predict', 'Expected --model; try --help.'],
    ['evaluate', 'Expected --model and --data; try --help.'],
    ['verify', 'Expected --bundle or --model; try --help.'],
  ]) {
    assert.deepEqual(command(script, []), { status: 2, stdout: '', stderr: `error: ${message}\n` });
  }
});

test('--help prints the help, with any other options', () => {
  for (const script of ['train', 'predict', 'evaluate', 'encode', 'tokenize', 'verify']) {
    const { status, stdout } = command(script, ['--frobnicate', '-h']);
    assert.equal(status, 0);
    assert.match(stdout, new RegExp(`node node_bridge/${script}\\.js`));
    assert.match(stdout, /^ {2}-h, --help +prints this help$/m);
  }
});

test('the nearest name is found for a typing mistake, another spelling or a beginning, and none if no name is near', () => {
  const known = ['maxLength', 'workers', 'top', 'bundle'];
  assert.deepEqual(
    ['max_length', 'maxlenght', 'worker', 'topk', 'tpo', 'bun', 'constructor', 'learningRate', ''].map((name) =>
      findNearestName(name, known),
    ),
    ['maxLength', 'maxLength', 'workers', 'top', 'top', 'bundle', undefined, undefined, undefined],
  );
});

test('an error of the library names its own option, the command names the option that was typed', async () => {
  const away = join(dir, 'away');
  const data = join(root, 'artifacts', 'data', 'dev.jsonl');
  const few = [
    '--train',
    data,
    '--dev',
    data,
    '--max-length',
    '4',
    '--head',
    'linear',
    '--epochs',
    '1',
    '--cache',
    join(dir, 'cache'),
  ];
  assert.equal(command('train', ['--bundle', bundle, ...few, '--out', away]).status, 0);
  const copy = join(dir, 'elsewhere', 'classifier');
  cpSync(away, copy, { recursive: true });
  await assert.rejects(Classifier.load(copy), /give its place with `bundle`$/);
  const { status, stderr } = command('predict', ['--model', copy, '好']);
  assert.equal(status, 2);
  assert.match(stderr, /give its place with --bundle\n$/);
});
