/** `node node_bridge/train.js` trains a classifier on a frozen encoder. */
import { availableParallelism } from 'node:os';
import { basename, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { useBackend } from './backends/index.js';
import { Bundle } from './bundle/bundle.js';
import { hasClassifier, readClassifier } from './classifier/classifier_files.js';
import { buildDataReport, formatWarnings } from './classifier/training/data_report.js';
import { checkGoldenCasesOnce, readGoldenTexts } from './classifier/golden_check.js';
import { DEFAULTS } from './classifier/training/defaults.js';
import { HEADS } from './classifier/head_layers.js';
import { formatPercent } from './classifier/evaluation/evaluation_messages.js';
import { computeMetrics } from './classifier/evaluation/metrics.js';
import {
  buildPredictCommand,
  buildSummary,
  formatEpoch,
  formatIntroduction,
  formatResult,
} from './classifier/training/train_messages.js';
import {
  assertBatchFitsMemory,
  buildSettings,
  computeClassWeights,
  describeSettings,
  TRAINING_OPTIONS,
} from './classifier/training/train_settings.js';
import { buildProblem, TrainingCheckpoint, trainHead } from './classifier/training/training.js';
import { describeData, renderTrainingPage } from './classifier/training/training_page.js';
import { locateWrongTexts } from './classifier/evaluation/wrong_texts.js';
import { Dataset } from './data/dataset.js';
import { countCommandWorkers, openEncoders } from './encoder/encoder_pool.js';
import { encodeMissing, hasAllTexts, openStore } from './encoder/feature_cache.js';
import { backendOption, createLongOptions, workersOption } from './model_options.js';
import { columnsOption, encodingOption, jsonOption, maxLengthOption, signatureOption } from './shared_options.js';
import { runCommand } from './support/command_line.js';
import { UserError } from './support/errors.js';
import { shortenPath } from './support/files.js';
import { flagOption, positiveNumberOption, textOption } from './support/options.js';
import { printLines, printJson, printMessages } from './support/printing.js';
import { startProgress } from './support/progress.js';
import { asBytes } from './support/safetensors.js';
import { sha256 } from './support/sha256.js';
import { Tokenizer } from './tokenizer/index.js';
import { LengthTally } from './tokenizer/length_tally.js';
import { TextReader } from './tokenizer/long_texts.js';

const PREDICT = fileURLToPath(new URL('predict.js', import.meta.url));
/** Where `export` puts the embedded texts, below the working directory. */
const TRAIN_FILE = 'artifacts/data/train.jsonl';
const DEV_FILE = 'artifacts/data/dev.jsonl';
/** How many of the dev texts that it got wrong training.html names. */
const MAX_WRONG_TEXTS = 50;

const DESCRIPTION = `Trains a classifier: texts → [CLS] … [SEP] → frozen encoder → head → softmax.

  node node_bridge/train.js
  node node_bridge/train.js --train T.jsonl --split 0.1 --epochs 20 --patience 3 --out ./T_classifier

Vectors and finished epochs are saved in the cache: after Ctrl-C or a crash the same command goes on.
`;

const OPTIONS = {
  bundle: textOption({ value: 'DIR', help: 'the bundle', ...belowHere('artifacts/bundle/albert_tiny') }),
  train: textOption({
    value: 'FILE',
    help:
      'JSON lines, a JSON array, or a table with a header (tabs, commas or semicolons): `text`, or `sentence1` and ' +
      '`sentence2`, and `label`, or other usual names for these',
    defaultText: TRAIN_FILE,
  }),
  dev: textOption({ value: 'FILE', help: 'the same', defaultText: DEV_FILE }),
  split: positiveNumberOption({
    value: 'SHARE',
    help: 'instead of --dev: this share of --train, drawn by --seed, with the same shares of labels; equal texts stay together',
    below: 1,
  }),
  columns: columnsOption(
    'what the columns are, in order: label,text or sentence1,sentence2,label, with _ for one to skip; or by name: ' +
      'review=text,stars=label',
  ),
  noHeader: flagOption('the first line of a table is data; needs --columns'),
  encoding: encodingOption,
  out: textOption({ value: 'DIR', help: 'gets training.html and log.jsonl too', ...belowHere('artifacts/classifier') }),
  force: flagOption(
    'replace a finished classifier in --out; without it the same command does nothing more, and another one is refused',
  ),
  ...TRAINING_OPTIONS,
  maxLength: maxLengthOption(`${DEFAULTS.maxLength}, or all that the model has`),
  ...createLongOptions(),
  backend: backendOption,
  workers: workersOption,
  cache: textOption({ value: 'DIR', help: 'of vectors and finished epochs', ...belowHere('artifacts/cache') }),
  requireSignature: signatureOption,
  json: jsonOption,
};

/** @typedef {import('./support/options.js').Values<typeof OPTIONS>} Values */

await runCommand({ description: DESCRIPTION, options: OPTIONS, main });

/** A default, and how the help shows it. @param {string} path below the working directory */
function belowHere(path) {
  return { default: resolve(path), defaultText: path };
}

/** @param {Values} options */
async function main(options) {
  stopOnInterrupt();
  const start = performance.now();
  const bundle = Bundle.open(options.bundle, { trustedKeys: options.requireSignature });
  const asked = buildSettings(options, bundle);
  const finished = hasClassifier(options.out) && !options.force ? readClassifier(options.out).description : undefined;
  const settingsSum = hashSettings(bundle, asked, options.classWeights);
  if (finished && finished.trained_with?.settings !== settingsSum) throw createOtherTrainingError(options.out);
  const tokenizer = Tokenizer.fromBundle(bundle);
  const lengths = new LengthTally(asked);
  const reader = new TextReader(tokenizer, asked);
  const split = buildProblem(...(await readDatasets(options, asked, (text) => lengths.add(reader.read(text)))));
  const problem = { ...split, golden: readGoldenTexts(bundle, split.train.task) };
  const settings = { ...asked, classWeights: computeClassWeights(options.classWeights, problem) };
  const data = hashData(problem);
  assertBatchFitsMemory(asked, problem, findHiddenSize(bundle));
  const backend = await useBackend(options.backend);
  if (finished) {
    if (finished.trained_with?.data !== data || finished.backend !== backend.name) throw createOtherTrainingError(options.out);
    await reportFinished(finished, options);
    return;
  }
  const report = await buildDataReport(problem, lengths);
  const warnings = formatWarnings(report, problem, asked);
  const store = await encodeTexts(bundle, problem, { ...settings, cache: options.cache, backend, tokenizer, warnings });

  const { train, dev, labels } = problem;
  const { workers: _, split: __, layout: ___, ...decides } = settings;
  const checkpoint = new TrainingCheckpoint(options.cache, [bundle.hash, backend.name, backend.version, labels, data, decides]);
  const trained = await trainHead(problem, store, settings, checkpoint, {
    progress: startProgress,
    noteOf: formatEpoch,
    say: printMessages,
  });
  store.close();

  const { head, history, bestEpoch, dev: evaluation, golden } = trained;
  const details = /** @type {const} */ ({
    task: train.task,
    max_length: settings.maxLength,
    long: settings.long,
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
  const metrics = computeMetrics(evaluation, labels, report.majority.label);
  const beside = {
    'training.html': renderTrainingPage({
      ...{ name: bundle.contract.name, trained: bundle.contract.trained, metrics },
      ...{ history, bestEpoch, bestBy: settings.bestBy },
      data: await describeData(problem),
      warnings: formatWarnings(report, problem, asked, basename),
      settings: describeSettings(settings, options.classWeights, backend.name),
      wrong: await locateWrongTexts(evaluation.decisions, dev, labels, MAX_WRONG_TEXTS),
    }),
    'log.jsonl': history.map((epoch) => `${JSON.stringify(epoch)}\n`).join(''),
  };
  await head.save(options.out, { ...details, golden, trained_with: { settings: settingsSum, data } }, beside);
  checkpoint.remove();

  const next = buildPredictCommand(PREDICT, options.out, train.task);
  const text = formatResult({
    evaluation,
    labels,
    metrics,
    bestEpoch,
    bestBy: settings.bestBy,
    out: options.out,
    next,
  });
  if (!options.json) {
    printLines(...text);
    return;
  }
  printMessages(...text);
  const seconds = (performance.now() - start) / 1000;
  const { kind, pooling } = head;
  const described = { head: kind, pooling, ...details };
  const summary = buildSummary({ details: described, bundle, problem, history, evaluation, report, warnings, out: options.out });
  await printJson({ ...summary, seconds, predict: next });
}

/**
 * Hashes the settings that decide the result, without the texts.
 *
 * @param {Bundle} bundle
 * @param {import('./classifier/training/train_settings.js').ParsedSettings} asked
 * @param {string} weights as they were typed
 */
function hashSettings({ hash }, { workers: _, layout: __, ...decides }, weights) {
  return sha256(JSON.stringify([hash, decides, weights]));
}

/** Hashes the texts and their labels. @param {import('./classifier/training/training.js').TrainingProblem} problem */
function hashData({ train, dev, labels, targets, devTargets }) {
  return sha256(JSON.stringify(labels), ...train.bytes, ...dev.bytes, asBytes(targets), asBytes(devTargets));
}

/** @param {string} out */
function createOtherTrainingError(out) {
  return new UserError(
    `${shortenPath(out)} is a finished classifier, trained with other settings or texts; give another --out, or --force to replace it`,
  );
}

/**
 * Reports that the classifier of this command is finished already.
 *
 * @param {import('./classifier/classifier_files.js').Description} finished
 * @param {Values} options
 */
async function reportFinished({ golden: _, files: __, ...details }, { out, json }) {
  const next = buildPredictCommand(PREDICT, out, details.task);
  const text = [
    `${shortenPath(out)} is trained already, with these settings on these texts (dev accuracy ${formatPercent(details.dev_accuracy)}); ` +
      '--force trains it again; next:',
    `  ${next}`,
  ];
  (json ? printMessages : printLines)(...text);
  if (json) await printJson({ classifier: out, already_trained: true, ...details, predict: next });
}

/**
 * @param {Values} options
 * @param {import('./classifier/training/train_settings.js').ParsedSettings} asked
 * @param {(text: import('./data/text.js').Text) => void} onText receives each text
 * @returns {Promise<[Dataset, Dataset]>} training texts and dev texts
 */
async function readDatasets({ train, dev }, { split, seed, layout }, onText) {
  if (split !== undefined && dev !== undefined) throw new UserError('Expected --dev or --split, got both');
  if (split === undefined && (train === undefined) !== (dev === undefined)) {
    throw new UserError('Expected --train with --dev or --split: the default of one does not fit the other');
  }
  const read = (/** @type {string} */ path) => Dataset.read(path, layout, { onColumns: printMessages, onText });
  const whole = await read(train ?? resolve(TRAIN_FILE));
  if (split !== undefined) return whole.split(split, seed);
  return [whole, await read(dev ?? resolve(DEV_FILE))];
}

/**
 * Opens the store and adds the vectors that it lacks.
 *
 * @param {Bundle} bundle
 * @param {import('./classifier/training/training.js').TrainingProblem} problem
 * @param {import('./classifier/training/train_settings.js').ParsedSettings & {cache: string, backend: import('./backends/index.js').Backend,
 *   tokenizer: Tokenizer, warnings: string[]}} how `warnings` are about the data
 */
async function encodeTexts(
  bundle,
  problem,
  { cache, backend, maxLength, long, head, workers = availableParallelism(), tokenizer, warnings },
) {
  const { pooling } = HEADS[head];
  const store = openStore(cache, { bundle, backend, maxLength, long, pooling }, findHiddenSize(bundle), printMessages);
  const data = [problem.train, problem.dev, problem.golden];
  const introduce = () => printMessages(...formatIntroduction(bundle, problem), ...warnings);
  if (hasAllTexts(store, data)) {
    // No file of the bundle is needed here, but a classifier for a damaged bundle would be useless.
    for (const name of Object.keys(bundle.contract.files)) bundle.check(name);
    printMessages(backend.notice || `backend ${backend.name}`);
    introduce();
    printMessages(`all vectors are in ${shortenPath(cache)}`);
    return store;
  }
  const encoder = await openEncoders(bundle, { backend: backend.name, workers: countCommandWorkers(workers) });
  printMessages(backend.notice || encoder.notice || `backend ${backend.name}`);
  introduce();
  const bar = startProgress(
    'encoding texts',
    data.reduce((sum, { count }) => sum + count, 0),
  );
  const tools = { tokenizer, encoder };
  try {
    await checkGoldenCasesOnce(cache, bundle, backend, tools, printMessages);
    await encodeMissing(store, data, tools, { maxLength, long, pooling, onEncoded: bar.advance });
  } finally {
    bar.stop();
    await encoder.dispose();
  }
  bar.done();
  return store;
}

/** Width of `sequence_output`. @param {Bundle} bundle */
function findHiddenSize({ dir, contract }) {
  const spec = contract.outputs.find(({ role }) => role === 'sequence_output');
  if (spec === undefined) throw new UserError(`${dir} has no sequence_output, which a classifier stands on`);
  return /** @type {number} */ (spec.shape[2]);
}

/** Ends the program on Ctrl-C. Finished epochs are on disk, and no file is half-written. */
function stopOnInterrupt() {
  process.once('SIGINT', () => {
    printMessages('stopped; what is finished is saved, and the same command goes on from there');
    process.exit(130);
  });
}
