/** `node node_bridge/train.js`: trains a classifier on a frozen encoder. */
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { useBackend } from './backends/index.js';
import { Bundle } from './bundle/bundle.js';
import { readTrustedKeys } from './bundle/signature.js';
import { isClassifierIn, readClassifier } from './classifier/classifier_files.js';
import { CutCounter, dataReport, warningsOf } from './classifier/data_report.js';
import { checkGoldenCasesOnce, goldenTexts } from './classifier/golden_check.js';
import { HEADS } from './classifier/head_layers.js';
import { accuracyLine, introduction, noteOf, percent, short, summaryOf, verdict } from './classifier/train_messages.js';
import { assertBatch, classWeightsOf, settingsOf } from './classifier/train_settings.js';
import { problemOf, sha256, TrainingState, trainOn } from './classifier/training.js';
import { trainingPage } from './classifier/training_page.js';
import { Dataset } from './data/dataset.js';
import { openEncoders } from './encoder/encoder_pool.js';
import { fill, isFilled, openStore } from './encoder/feature_cache.js';
import { run } from './support/command_line.js';
import { UserError } from './support/errors.js';
import { print, printJson, say } from './support/printing.js';
import { progress } from './support/progress.js';
import { Tokenizer } from './tokenizer/index.js';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const ARTIFACTS = join(ROOT, 'artifacts');

const HELP = `Trains a classifier: texts → [CLS] … [SEP] → frozen encoder → head → softmax.

  node node_bridge/train.js
  node node_bridge/train.js --train T.jsonl --split 0.1 --epochs 20 --patience 3 --out ./T_classifier

Vectors and finished epochs are kept in the cache: after Ctrl-C or a crash the same command goes on.

  --bundle DIR           default artifacts/bundle/albert_tiny
  --train FILE           JSON lines, a JSON array, or a table with a header (tabs, commas or
                         semicolons): \`text\`, or \`sentence1\` and \`sentence2\`, and \`label\`, or
                         other usual names for these; default artifacts/data/train.jsonl
  --dev FILE             the same; default artifacts/data/dev.jsonl
  --split SHARE          instead of --dev: this share of --train, drawn by --seed, with the same
                         shares of labels; equal texts stay together
  --columns LIST         what the columns are, in order: label,text or sentence1,sentence2,label,
                         with _ for one to skip; or by name: review=text,stars=label
  --no-header            the first line of a table is data; needs --columns
  --encoding NAME        of the files: utf-8 (default), gb18030, gbk, big5, utf-16
  --out DIR              default artifacts/classifier; gets training.html and log.jsonl too
  --force                replace a finished classifier in --out; without it the same command does
                         nothing more, and another one is refused
  --head NAME            dense (default): 512 tanh on [CLS]; linear: none; bilstm: LSTM 128 both
                         ways over all positions
  --epochs N             default 5; the best one is kept
  --best-by WHAT         what makes an epoch the best: accuracy (default) or macro-f1
  --patience N           end after N epochs without a better one; default: none
  --batch-size N         default 32
  --learning-rate X      of Adam, default 0.0003
  --schedule NAME        of the learning rate: constant (default), linear, cosine
  --class-weights W      what a text of a label counts: equal (default), balanced, or JSON such as
                         '{"0": 1, "1": 2.5}'
  --seed N               of --split, the first weights and the order of the texts; default 1
  --max-length N         positions a text is cut to, [CLS] and [SEP] counted; default 128
  --backend NAME         auto (default), native, wasm or cpu
  --workers N            encoders at a time on wasm and cpu; default: one a core
  --cache DIR            default artifacts/cache
  --require-signature FILE
                         refuse a bundle that none of the public keys (PEM) in FILE has signed
  --json                 a summary as JSON on stdout
  -h, --help
`;

await run({
  help: HELP,
  options: {
    bundle: { type: 'string', default: join(ARTIFACTS, 'bundle', 'albert_tiny') },
    train: { type: 'string' },
    dev: { type: 'string' },
    split: { type: 'string' },
    columns: { type: 'string' },
    'no-header': { type: 'boolean', default: false },
    encoding: { type: 'string', default: 'utf-8' },
    out: { type: 'string', default: join(ARTIFACTS, 'classifier') },
    force: { type: 'boolean', default: false },
    head: { type: 'string', default: 'dense' },
    epochs: { type: 'string', default: '5' },
    'best-by': { type: 'string', default: 'accuracy' },
    patience: { type: 'string' },
    'batch-size': { type: 'string', default: '32' },
    'learning-rate': { type: 'string', default: '0.0003' },
    schedule: { type: 'string', default: 'constant' },
    'class-weights': { type: 'string', default: 'equal' },
    seed: { type: 'string', default: '1' },
    'max-length': { type: 'string' },
    backend: { type: 'string', default: 'auto' },
    workers: { type: 'string' },
    cache: { type: 'string', default: join(ARTIFACTS, 'cache') },
    json: { type: 'boolean', default: false },
    'require-signature': { type: 'string' },
  },
  main,
});

/** @param {Record<string, any>} options */
async function main(options) {
  stopOnInterrupt();
  const start = performance.now();
  const bundle = Bundle.open(options.bundle, { trustedKeys: readTrustedKeys(options['require-signature']) });
  const asked = settingsOf(options, bundle);
  const finished = isClassifierIn(options.out) && !options.force ? readClassifier(options.out).description : undefined;
  const settingsSum = settingsHash(bundle, asked, options['class-weights']);
  if (finished && finished.trained_with?.settings !== settingsSum) throw trainedOtherwise(options.out);
  const tokenizer = Tokenizer.fromBundle(bundle);
  const cuts = new CutCounter(tokenizer, asked.maxLength);
  const split = problemOf(...(await datasets(options, asked, cuts)));
  const problem = { ...split, golden: goldenTexts(bundle, split.train.task) };
  const settings = { ...asked, classWeights: classWeightsOf(options['class-weights'], problem) };
  const data = dataHash(problem);
  assertBatch(asked, problem, hiddenOf(bundle));
  const backend = await useBackend(options.backend);
  if (finished) {
    if (finished.trained_with?.data !== data || finished.backend !== backend.name) throw trainedOtherwise(options.out);
    await reportFinished(finished, options);
    return;
  }
  const report = await dataReport(problem, cuts.cuts);
  const warnings = warningsOf(report, problem, asked.maxLength);
  const store = await encoded(bundle, problem, { ...settings, cache: options.cache, backend, tokenizer, warnings });

  const { train, dev, labels } = problem;
  const { workers: _, split: __, layout: ___, ...decides } = settings;
  const kept = new TrainingState(options.cache, [bundle.hash, backend.name, backend.version, labels, data, decides]);
  const trained = await trainOn(problem, store, settings, kept, { progress, noteOf, say });
  store.close();

  const { head, history, bestEpoch, dev: evaluation, golden } = trained;
  const details = /** @type {const} */ ({
    task: train.task,
    max_length: settings.maxLength,
    special_tokens: 'added',
    bundle: { hash: bundle.hash, dir: relative(resolve(options.out), resolve(bundle.dir)) },
    backend: backend.name,
    seed: settings.seed,
    epochs: history.length,
    best_epoch: bestEpoch,
    best_by: settings.bestBy,
    batch_size: settings.batchSize,
    learning_rate: settings.learningRate,
    schedule: settings.schedule,
    class_weights: settings.classWeights,
    dev_accuracy: evaluation.accuracy,
    dev_macro_f1: evaluation.macroF1,
  });
  const beside = {
    'training.html': trainingPage({
      ...{ name: bundle.contract.name, labels, history, bestEpoch, bestBy: settings.bestBy, evaluation, warnings },
      accuracy: accuracyLine(evaluation.accuracy, dev.count, report),
    }),
    'log.jsonl': history.map((epoch) => `${JSON.stringify(epoch)}\n`).join(''),
  };
  await head.save(options.out, { ...details, golden, trained_with: { settings: settingsSum, data } }, beside);
  kept.remove();

  const next = predictCommand(options.out, train.task);
  const text = verdict({
    evaluation,
    labels,
    devCount: dev.count,
    report,
    bestEpoch,
    bestBy: settings.bestBy,
    out: options.out,
    next,
  });
  if (!options.json) {
    print(...text);
    return;
  }
  say(...text);
  const seconds = (performance.now() - start) / 1000;
  const { kind, pooling } = head;
  const described = { head: kind, pooling, ...details };
  const summary = summaryOf({ details: described, bundle, problem, history, evaluation, report, warnings, out: options.out });
  await printJson({ ...summary, seconds, predict: next });
}

/**
 * What was asked for that decides the outcome, beside the texts.
 *
 * @param {Bundle} bundle
 * @param {import('./classifier/train_settings.js').Asked} asked
 * @param {string} weights as they were typed
 */
function settingsHash({ hash }, { workers: _, layout: __, ...decides }, weights) {
  return sha256([Buffer.from(JSON.stringify([hash, decides, weights]))]);
}

/** Texts with their labels. @param {import('./classifier/training.js').Problem} problem */
function dataHash({ train, dev, labels, targets, devTargets }) {
  const numbers = [targets, devTargets].map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength));
  return sha256([Buffer.from(JSON.stringify(labels)), ...train.bytes, ...dev.bytes, ...numbers]);
}

/** @param {string} out */
function trainedOtherwise(out) {
  return new UserError(
    `${short(out)} is a finished classifier, trained with other settings or texts; give another --out, or --force to replace it`,
  );
}

/**
 * The same command once more: the classifier that it makes is there already.
 *
 * @param {import('./classifier/classifier_files.js').Description} finished
 * @param {Record<string, any>} options
 */
async function reportFinished({ golden: _, files: __, ...details }, { out, json }) {
  const next = predictCommand(out, details.task);
  const text = [
    `${short(out)} is trained already, with these settings on these texts (dev accuracy ${percent(details.dev_accuracy)}); ` +
      '--force trains it again; next:',
    `  ${next}`,
  ];
  (json ? say : print)(...text);
  if (json) await printJson({ classifier: out, already_trained: true, ...details, predict: next });
}

/**
 * @param {Record<string, any>} options
 * @param {import('./classifier/train_settings.js').Asked} asked
 * @param {CutCounter} cuts told each text
 * @returns {Promise<[Dataset, Dataset]>} to train on, and to judge by
 */
async function datasets({ train, dev }, { split, seed, layout }, cuts) {
  if (split !== undefined && dev !== undefined) throw new UserError('Expected --dev or --split, got both');
  if (split === undefined && (train === undefined) !== (dev === undefined)) {
    throw new UserError('Expected --train with --dev or --split: the default of one does not fit the other');
  }
  const read = (/** @type {string} */ path) => Dataset.read(path, layout, { onColumns: say, onText: (text) => cuts.add(text) });
  const whole = await read(train ?? join(ARTIFACTS, 'data', 'train.jsonl'));
  if (split !== undefined) return whole.split(split, seed);
  return [whole, await read(dev ?? join(ARTIFACTS, 'data', 'dev.jsonl'))];
}

/**
 * A store with the vectors of all texts.
 *
 * @param {Bundle} bundle
 * @param {import('./classifier/training.js').Problem} problem
 * @param {import('./classifier/train_settings.js').Asked & {cache: string, backend: import('./backends/index.js').Backend,
 *   tokenizer: Tokenizer, warnings: string[]}} how `warnings` are about the data
 */
async function encoded(bundle, problem, { cache, backend, maxLength, head, workers, tokenizer, warnings }) {
  const { pooling } = HEADS[head];
  const store = openStore(cache, { bundle, backend, maxLength, pooling }, hiddenOf(bundle), say);
  const data = [problem.train, problem.dev, problem.golden];
  const introduce = () => say(...introduction(bundle, problem), ...warnings);
  if (isFilled(store, data)) {
    // Nothing of the bundle is needed, but a classifier of a damaged one would be of no use.
    for (const name of Object.keys(bundle.contract.files)) bundle.check(name);
    say(backend.notice || `backend ${backend.name}`);
    introduce();
    say(`all vectors are in ${short(cache)}`);
    return store;
  }
  const encoder = await openEncoders(bundle, { backend: backend.name, workers });
  say(backend.notice || encoder.notice || `backend ${backend.name}`);
  introduce();
  const bar = progress(
    'encoding texts',
    data.reduce((sum, { count }) => sum + count, 0),
  );
  const tools = { tokenizer, encoder };
  try {
    await checkGoldenCasesOnce(cache, bundle, backend, tools, say);
    await fill(store, data, tools, { maxLength, pooling, onEncoded: bar.advance });
  } finally {
    bar.stop();
    await encoder.dispose();
  }
  bar.done();
  return store;
}

/** Width of `sequence_output`. @param {Bundle} bundle */
function hiddenOf({ dir, contract }) {
  const spec = contract.outputs.find(({ role }) => role === 'sequence_output');
  if (spec === undefined) throw new UserError(`${dir} has no sequence_output, which a classifier stands on`);
  return /** @type {number} */ (spec.shape[2]);
}

/** What is finished is on disk, and nothing is ever half-written. */
function stopOnInterrupt() {
  process.once('SIGINT', () => {
    say('stopped; what is finished is kept, and the same command goes on from there');
    process.exit(130);
  });
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
