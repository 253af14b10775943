/**
 * From labelled texts, whose vectors are in a store, to a trained head. Knows nothing of the
 * command line.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { listLabels } from '../data/dataset.js';
import { toNamedText } from '../data/text.js';
import { UserError } from '../support/errors.js';
import { readInput } from '../support/files.js';
import { isObject, parseJson } from '../support/json.js';
import { asBytes, readSafetensors, writeSafetensors } from '../support/safetensors.js';
import { evaluate } from './evaluation.js';
import { scaleFeatures, fitScaling, featuresFromStore } from './feature_sets.js';
import { fitHead } from './fitting.js';
import { Head } from './head.js';

/** By what the best epoch is found. */
export const BEST_BY = /** @type {const} */ ({ accuracy: 'devAccuracy', 'macro-f1': 'devMacroF1' });

/**
 * @typedef {import('../data/dataset.js').Dataset} Dataset
 * @typedef {import('../support/progress.js').Progress} Progress
 * @typedef {import('./evaluation.js').Evaluation} Evaluation
 * @typedef {import('./fitting.js').EpochFigures & {devLoss: number, devAccuracy: number, devMacroF1: number}} EpochResult
 *
 * @typedef {keyof typeof BEST_BY} BestBy
 *
 * @typedef {object} TrainingProblem
 * @property {Dataset} train
 * @property {Dataset} dev
 * @property {string[]} labels
 * @property {Int32Array} targets of the training texts
 * @property {Int32Array} devTargets
 * @property {import('../data/dataset.js').TextSource} golden texts to which the classifier keeps its answers; they
 *   go wherever it goes, so never the user's own
 *
 * @typedef {object} TrainingSettings
 * @property {string} head of HEADS
 * @property {number} epochs at most
 * @property {number} patience epochs without a better one after which training ends; Infinity: none
 * @property {number} batchSize
 * @property {number} seed
 * @property {number} learningRate
 * @property {import('./fitting.js').Schedule} schedule
 * @property {number[]} classWeights of each label
 * @property {BestBy} bestBy what makes an epoch the best
 *
 * @typedef {object} Listener
 * @property {(title: string, total: number) => Progress} progress
 * @property {(epoch: EpochResult) => string} noteOf what to say of an epoch that is done
 * @property {(line: string) => void} say
 *
 * @typedef {object} TrainingResult
 * @property {Head} head
 * @property {EpochResult[]} history
 * @property {number} bestEpoch whose weights the head has
 * @property {Evaluation} dev
 * @property {import('./classifier_files.js').GoldenAnswer[]} golden
 */

/**
 * Checks that the two sets make a problem to learn; before the encoder is loaded. What is wrong with
 * one that can be learned, data_report.js says.
 *
 * @param {Dataset} train
 * @param {Dataset} dev
 * @returns {Omit<TrainingProblem, 'golden'>}
 * @throws {UserError} one label only, a dev label that training does not know, other tasks
 */
export function buildProblem(train, dev) {
  if (train.task !== dev.task) {
    throw new UserError(`${train.path} holds ${train.task} texts, but ${dev.path} ${dev.task} ones; expected the same`);
  }
  const labels = listLabels(train);
  return { train, dev, labels, targets: train.targets(labels), devTargets: dev.targets(labels) };
}

/**
 * Trains on scaled vectors (feature_sets.js says why), keeps the best epoch, and goes on from where an
 * earlier run was stopped.
 *
 * @param {TrainingProblem} problem
 * @param {import('../encoder/feature_cache.js').FeatureStore} store that has all its texts
 * @param {TrainingSettings} settings
 * @param {TrainingCheckpoint} checkpoint
 * @param {Listener} listener
 * @returns {Promise<TrainingResult>}
 */
export async function trainHead({ train, dev, labels, targets, devTargets, golden }, store, settings, checkpoint, listener) {
  const [features, devFeatures] = [featuresFromStore(store, train), featuresFromStore(store, dev)];
  const scaling = fitScaling(features);
  const head = Head.create({ kind: settings.head, hidden: store.hidden, labels, seed: settings.seed });
  const saved = loadCheckpoint(checkpoint, head, listener);
  const history = saved?.history ?? [];
  let best = saved?.best ?? { epoch: 0, weights: await head.weights() };
  const isOver = () => history.length - best.epoch >= settings.patience;

  /** @type {Progress | undefined} */
  let bar;
  const training = fitHead(head, scaleFeatures(features, scaling), targets, {
    ...settings,
    epochs: isOver() ? 0 : settings.epochs,
    state: saved?.state,
    onBatch(count) {
      bar ??= listener.progress(`epoch ${history.length + 1} of ${settings.epochs}`, features.count);
      bar.advance(count);
    },
    async onEpoch(epoch, state) {
      const { loss, accuracy, macroF1 } = await evaluate(head, scaleFeatures(devFeatures, scaling), devTargets);
      const result = { ...epoch, devLoss: loss, devAccuracy: accuracy, devMacroF1: macroF1 };
      history.push(result);
      if (best.epoch === 0 || isBetter(result, history[best.epoch - 1], settings.bestBy))
        best = { epoch: epoch.epoch, weights: state.weights };
      checkpoint.write({ state, best, history });
      bar?.done(listener.noteOf(result));
      bar = undefined;
      return !isOver();
    },
  });
  await training.finally(() => bar?.stop());

  head.setWeights(best.weights);
  head.fold(scaling);
  const evaluation = await evaluate(head, devFeatures, devTargets);
  return {
    head,
    history,
    bestEpoch: best.epoch,
    dev: evaluation,
    golden: await computeGoldenAnswers(head, golden, featuresFromStore(store, golden)),
  };
}

/** What an earlier run left; damaged, it is of no use. @param {TrainingCheckpoint} checkpoint @param {Head} head @param {Listener} listener */
function loadCheckpoint(checkpoint, head, { say }) {
  try {
    const found = checkpoint.read();
    if (found !== undefined && !head.fits(found.state, found.best.weights))
      throw new Error(`${checkpoint.path} holds the weights of another head`);
    if (found !== undefined) say(`going on after epoch ${found.state.epoch}, which an earlier run finished`);
    return found;
  } catch (error) {
    say(`${/** @type {Error} */ (error).message}; training starts at epoch 1`);
    checkpoint.remove();
    return undefined;
  }
}

/** @param {EpochResult} one @param {EpochResult} other @param {BestBy} bestBy */
function isBetter(one, other, bestBy) {
  const figure = BEST_BY[bestBy];
  return one[figure] > other[figure] || (one[figure] === other[figure] && one.devLoss < other.devLoss);
}

/**
 * What the head says of some texts, so that it can be told later whether a copy still says the same.
 *
 * @param {Head} head
 * @param {import('../data/dataset.js').TextSource} texts
 * @param {import('./feature_sets.js').FeatureSet} features of these texts
 */
async function computeGoldenAnswers(head, texts, features) {
  const rows = await head.probabilitiesOf(features);
  /** @type {import('./classifier_files.js').GoldenAnswer[]} */
  const golden = [];
  for await (const text of texts.texts()) {
    const row = rows[golden.length];
    golden.push({ ...toNamedText(text), label: head.labelOf(row), probabilities: Array.from(row) });
  }
  return golden;
}

// Training that has not ended yet, in one file: what the next epoch starts from, the best weights
// so far, and what has been said. The file is named after everything that decides the outcome, so
// that the same command finds it and no other one does.

/**
 * @typedef {import('./fitting.js').FitState} State
 * @typedef {{state: State, best: {epoch: number, weights: Float32Array[]}, history: EpochResult[]}} Checkpoint
 */

/** Bytes: a head of 10,000 labels has 20 MB, kept four times. */
const MAX_FILE_BYTES = 2 ** 30;

export class TrainingCheckpoint {
  /**
   * @param {string} cache
   * @param {unknown[]} settings all that the outcome depends on, as JSON can tell it
   */
  constructor(cache, settings) {
    this.dir = join(cache, 'training');
    this.path = join(this.dir, `${sha256([Buffer.from(JSON.stringify(settings))]).slice(0, 32)}.safetensors`);
  }

  /** @param {Checkpoint} checkpoint */
  write({ state, best, history }) {
    mkdirSync(this.dir, { recursive: true });
    const { weights, moments, epoch, steps } = state;
    const groups = { best: best.weights, moments, weights };
    const tensors = Object.fromEntries(
      Object.entries(groups).flatMap(([group, arrays]) =>
        arrays.map((data, i) => [tensorName(group, i), { dtype: /** @type {const} */ ('F32'), shape: [data.length], data }]),
      ),
    );
    const progress = JSON.stringify({ epoch, steps, best: best.epoch, history });
    writeSafetensors(this.path, tensors, { told: progress, sha256: hashCheckpoint(progress, tensors) });
  }

  /**
   * @returns {Checkpoint | undefined} undefined where there is none
   * @throws {Error} it is damaged
   */
  read() {
    if (!existsSync(this.path)) return undefined;
    const { tensors, metadata } = readSafetensors(readInput(this.path, MAX_FILE_BYTES), this.path);
    if (hashCheckpoint(metadata.told, tensors) !== metadata.sha256)
      throw new Error(`${this.path} does not have the sha256 it names`);
    const group = (/** @type {string} */ name) =>
      Object.keys(tensors)
        .filter((key) => key.startsWith(`${name}.`))
        .sort()
        .map((key) => /** @type {Float32Array} */ (tensors[key].data));
    const progress = parseJson(metadata.told, this.path);
    if (!isProgress(progress)) throw new Error(`${this.path} does not say where training was`);
    const { epoch, steps, best, history } = progress;
    const state = { epoch, steps, weights: group('weights'), moments: group('moments') };
    return { state, best: { epoch: best, weights: group('best') }, history };
  }

  /** What was begun is finished, or of no use. */
  remove() {
    rmSync(this.path, { force: true, recursive: true });
  }
}

/**
 * Whether it says all that training goes on from.
 *
 * @param {unknown} value
 * @returns {told is {epoch: number, steps: number, best: number, history: EpochResult[]}}
 */
function isProgress(value) {
  if (!isObject(value) || !Array.isArray(value.history)) return false;
  const { epoch, steps, best, history } = value;
  const isEpoch = (/** @type {unknown} */ one) =>
    isObject(one) &&
    ['loss', 'accuracy', 'devLoss', 'devAccuracy', 'devMacroF1', 'seconds'].every((name) => Number.isFinite(one[name]));
  return (
    [epoch, steps, best].every((value) => Number.isSafeInteger(value) && value >= 1) &&
    epoch === history.length &&
    best <= epoch &&
    history.every(isEpoch)
  );
}

/** Sorts as it counts. @param {string} group @param {number} i */
function tensorName(group, i) {
  return `${group}.${String(i).padStart(4, '0')}`;
}

/** @param {string} progress @param {Record<string, {data: Float32Array | Int32Array}>} tensors */
function hashCheckpoint(progress, tensors) {
  const names = Object.keys(tensors).sort();
  return sha256([Buffer.from(progress), ...names.map((name) => asBytes(tensors[name].data))]);
}

/** @param {Uint8Array[]} chunks */
export function sha256(chunks) {
  const whole = createHash('sha256');
  chunks.forEach((chunk) => whole.update(chunk));
  return whole.digest('hex');
}
