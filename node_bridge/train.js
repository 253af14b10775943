/** `node node_bridge/train.js`: trains a classifier on a frozen encoder. */
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Bundle } from './bundle.js';
import { LEARNING_RATE } from './head.js';
import { assertClassifierWritable } from './classifier_files.js';
import { run, say, wholeNumber } from './cli.js';
import { formatConfusion } from './confusion.js';
import { loadDataset } from './data.js';
import { Encoder } from './encoder.js';
import { UserError } from './errors.js';
import { progress } from './progress.js';
import { Tokenizer } from './tokenizer/index.js';
import { problemOf, trainOn } from './training.js';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const ARTIFACTS = join(ROOT, 'artifacts');
const MAX_LENGTH = 128;

const HELP = `Trains a classifier: texts → [CLS] … [SEP] → frozen encoder → dense 512 tanh → softmax.

  node node_bridge/train.js
  node node_bridge/train.js --train T.jsonl --dev D.jsonl --epochs 10 --out my_classifier

  --bundle DIR         default artifacts/bundle/albert_tiny
  --train FILE         JSON lines with \`text\` (or \`sentence1\`, \`sentence2\`) and \`label\`,
                       or .tsv or .csv with a header; default artifacts/data/train.jsonl
  --dev FILE           the same; default artifacts/data/dev.jsonl
  --out DIR            default artifacts/classifier
  --epochs N           default 5
  --batch-size N       default 32
  --learning-rate X    of Adam, default 0.0003
  --seed N             default 1
  --max-length N       positions a text is cut to, [CLS] and [SEP] counted; default ${MAX_LENGTH}
  --backend NAME       auto (default), native, wasm or cpu
  --json               a summary as JSON on stdout
  -h, --help
`;

await run({
  help: HELP,
  options: {
    bundle: { type: 'string', default: join(ARTIFACTS, 'bundle', 'albert_tiny') },
    train: { type: 'string' },
    dev: { type: 'string' },
    out: { type: 'string', default: join(ARTIFACTS, 'classifier') },
    epochs: { type: 'string', default: '5' },
    'batch-size': { type: 'string', default: '32' },
    'learning-rate': { type: 'string', default: '0.0003' },
    seed: { type: 'string', default: '1' },
    'max-length': { type: 'string' },
    backend: { type: 'string', default: 'auto' },
    json: { type: 'boolean', default: false },
  },
  main,
});

/** @param {Record<string, any>} options @param {string[]} positionals */
async function main(options, positionals) {
  if (positionals.length > 0) throw new UserError(`Expected options only, got \`${positionals[0]}\`; try --help.`);
  if ((options.train === undefined) !== (options.dev === undefined)) {
    throw new UserError('Expected --train and --dev together: the default of one does not fit the other');
  }
  stopOnInterrupt();
  const start = performance.now();
  const bundle = Bundle.open(options.bundle);
  const settings = settingsOf(options, bundle);
  assertClassifierWritable(options.out);
  const problem = problemOf(
    await loadDataset(options.train ?? join(ARTIFACTS, 'data', 'train.jsonl')),
    await loadDataset(options.dev ?? join(ARTIFACTS, 'data', 'dev.jsonl')),
  );
  const tokenizer = Tokenizer.fromBundle(bundle);
  const encoder = await Encoder.load(bundle, { backend: options.backend });
  say(encoder.notice || `backend ${encoder.backend}`);
  introduce(bundle, problem, settings);

  const trained = await trainOn(problem, { tokenizer, encoder }, settings, { progress, noteOf });
  const { epochs, devLoss, devAccuracy, confusion } = trained;
  const details = /** @type {const} */ ({
    task: problem.train.task,
    head: 'dense',
    max_length: settings.maxLength,
    special_tokens: 'added',
    pooling: 'position 0 of sequence_output',
    bundle: { hash: bundle.hash, dir: relative(resolve(options.out), resolve(bundle.dir)) },
    backend: encoder.backend,
    seed: settings.seed,
    epochs: settings.epochs,
    batch_size: settings.batchSize,
    learning_rate: settings.learningRate,
    dev_accuracy: devAccuracy,
  });
  await trained.classifier.save(options.out, { ...details, golden: trained.golden });
  const next = predictCommand(options.out, problem.train.task);
  const text =
    `\n${formatConfusion(confusion, problem.labels)}\n` +
    `dev accuracy ${percent(devAccuracy)}, saved in ${short(options.out)}; next:\n  ${next}\n`;
  if (!options.json) {
    process.stdout.write(text);
    return;
  }
  process.stderr.write(text);
  const { name, trained: weightsTrained } = bundle.contract;
  const summary = {
    classifier: options.out,
    ...details,
    bundle: { dir: bundle.dir, name, hash: bundle.hash, trained: weightsTrained },
    texts: { train: problem.train.examples.length, dev: problem.dev.examples.length },
    labels: problem.labels,
    history: epochs.map(({ devLoss: dev_loss, devAccuracy: dev_accuracy, ...epoch }) => ({ ...epoch, dev_loss, dev_accuracy })),
    dev_loss: devLoss,
    confusion,
    seconds: (performance.now() - start) / 1000,
    predict: next,
  };
  process.stdout.write(`${JSON.stringify(summary)}\n`);
}

/** Nothing is half-written: saving happens in one turn, and only at the end. */
function stopOnInterrupt() {
  process.once('SIGINT', () => {
    process.stderr.write('\nstopped; nothing was written\n');
    process.exit(130);
  });
}

/** @param {Record<string, string>} options @param {Bundle} bundle @returns {import('./training.js').Settings} */
function settingsOf(options, bundle) {
  const limit = bundle.contract.max_length;
  const maxLength = options['max-length'] ?? String(Math.min(MAX_LENGTH, limit));
  const learningRate = Number(options['learning-rate']);
  if (!(learningRate > 0 && learningRate < Infinity)) {
    throw new UserError(`Expected --learning-rate to be a positive number, got \`${options['learning-rate']}\``);
  }
  return {
    epochs: wholeNumber('--epochs', options.epochs, 1, 1e6),
    batchSize: wholeNumber('--batch-size', options['batch-size'], 1, 1e6),
    seed: wholeNumber('--seed', options.seed, 0, 2 ** 31),
    maxLength: wholeNumber('--max-length', maxLength, 3, limit),
    learningRate,
  };
}

/** @param {Bundle} bundle @param {import('./training.js').Problem} problem @param {{maxLength: number}} settings */
function introduce(bundle, { train, dev, labels }, { maxLength }) {
  const { name, trained } = bundle.contract;
  const weights = trained === false ? 'UNTRAINED WEIGHTS: a seeded model' : trained ? 'trained weights' : 'weights of unknown training';
  process.stderr.write(
    `bundle ${name} (${weights}), ${short(bundle.dir)}\n` +
      `${train.examples.length} training and ${dev.examples.length} dev texts (${train.task}), ` +
      `labels ${labels.slice(0, 8).join(', ')}${labels.length > 8 ? `, … (${labels.length})` : ''}; ` +
      `[CLS] and [SEP] are added, texts are cut at ${maxLength} positions\n`,
  );
}

/** @param {import('./training.js').EpochResult} epoch */
function noteOf({ loss, accuracy, devLoss, devAccuracy, tensors }) {
  return (
    `loss ${loss.toFixed(4)}, accuracy ${percent(accuracy)}, ` +
    `dev loss ${devLoss.toFixed(4)}, dev accuracy ${percent(devAccuracy)}, ${tensors} tensors`
  );
}

/** @param {number} share */
function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/** A path as one would type it here. @param {string} path */
function short(path) {
  const near = relative('', path);
  return near === '' || near.startsWith('..') ? resolve(path) : near;
}

/** @param {string} out @param {string} task */
function predictCommand(out, task) {
  const script = `node ${quoted(short(join(ROOT, 'node_bridge', 'predict.js')))} --model ${quoted(short(out))}`;
  return task === 'pair'
    ? `echo '{"sentence1": "这本书很好", "sentence2": "这本书不错"}' | ${script} --jsonl`
    : `echo 这本书很好 | ${script}`;
}

/** For a shell. @param {string} word */
function quoted(word) {
  return /^[\w./~+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
