/**
 * Trains a head on labelled texts whose vectors are in a store. Does not depend on the command line.
 */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { listLabels } from '../../data/dataset.js';
import { toNamedText } from '../../data/text.js';
import { UserError } from '../../support/errors.js';
import { makeDirectory, readInput } from '../../support/files.js';
import { isObject, parseJson } from '../../support/json.js';
import { asBytes, readSafetensors, writeSafetensors } from '../../support/safetensors.js';
import { sha256 } from '../../support/sha256.js';
import { evaluate } from '../evaluation/evaluation.js';
import { scaleFeatures, fitScaling, featuresFromStore } from './feature_sets.js';
import { fitHead } from './fitting.js';
import { Head } from '../head.js';

/** The figure that chooses the best epoch, by the value of --best-by. */
export const BEST_BY = /** @type {const} */ ({ accuracy: 'devAccuracy', 'macro-f1': 'devMacroF1' });

/**
 * @typedef {import('../../data/dataset.js').Dataset} Dataset
 * @typedef {import('../../support/progress.js').Progress} Progress
 * @typedef {import('../evaluation/evaluation.js').Evaluation} Evaluation
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
 * @property {import('../../data/dataset.js').TextSource} golden the classifier stores its answers to these texts;
 *   they are published with it, so they are never the user's own
 *
 * @typedef {object} TrainingSettings
 * @property {string} head of HEADS
 * @property {number} epochs at most
 * @property {number} patience training ends after so many epochs without a better one; Infinity: never
 * @property {number} batchSize
 * @property {number} seed
 * @property {number} learningRate
 * @property {import('./fitting.js').Schedule} schedule
 * @property {number[]} classWeights of each label
 * @property {BestBy} bestBy what chooses the best epoch
 *
 * @typedef {object} Listener
 * @property {(title: string, total: number) => Progress} progress
 * @property {(epoch: EpochResult) => string} noteOf formats the message about an epoch
 * @property {(line: string) => void} say prints a message
 *
 * @typedef {object} TrainingResult
 * @property {Head} head
 * @property {EpochResult[]} history
 * @property {number} bestEpoch the epoch of the head's weights
 * @property {Evaluation} dev
 * @property {import('../classifier_files.js').GoldenAnswer[]} golden
 */

/**
 * Checks that the two sets can be learned, before the encoder is loaded. data_report.js gives warnings
 * about data that can be learned.
 *
 * @param {Dataset} train
 * @param {Dataset} dev
 * @returns {Omit<TrainingProblem, 'golden'>}
 * @throws {UserError} there is only one label, training has not all labels of dev, or the tasks differ
 */
export function buildProblem(train, dev) {
  if (train.task !== dev.task) {
    throw new UserError(`${train.path} holds ${train.task} texts, but ${dev.path} ${dev.task} ones; expected the same`);
  }
  const labels = listLabels(train);
  return { train, dev, labels, targets: train.targets(labels), devTargets: dev.targets(labels) };
}

/**
 * Trains on scaled vectors (feature_sets.js says why), takes the best epoch, and continues an earlier
 * run that was stopped.
 *
 * @param {TrainingProblem} problem
 * @param {import('../../encoder/feature_cache.js').FeatureStore} store has the vectors of all texts
 * @param {TrainingSettings} settings
 * @param {TrainingCheckpoint} checkpoint is read at the start and written after each epoch
 * @param {Listener} listener gets progress and messages
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

/** Loads the checkpoint of an earlier run. A damaged one is removed. @param {TrainingCheckpoint} checkpoint @param {Head} head @param {Listener} listener */
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
 * Computes the golden answers: by them a later check can see whether a copy gives the same answers.
 *
 * @param {Head} head
 * @param {import('../../data/dataset.js').TextSource} texts
 * @param {import('./feature_sets.js').FeatureSet} features of these texts
 */
async function computeGoldenAnswers(head, texts, features) {
  const rows = await head.probabilitiesOf(features);
  /** @type {import('../classifier_files.js').GoldenAnswer[]} */
  const golden = [];
  for await (const text of texts.texts()) {
    const row = rows[golden.length];
    golden.push({ ...toNamedText(text), label: head.labelOf(row), probabilities: Array.from(row) });
  }
  return golden;
}

// The checkpoint of a training that has not ended, in one file: the state that the next epoch starts
// from, the best weights so far, and the history. The file name is a hash of everything that decides
// the result, so only the same command finds it.

/**
 * @typedef {import('./fitting.js').FitState} State
 * @typedef {{state: State, best: {epoch: number, weights: Float32Array[]}, history: EpochResult[]}} Checkpoint
 */

/** A part of the name of the file: a checkpoint of another version is not found, and so never resumed. */
const CHECKPOINT_VERSION = 2;
/** The largest checkpoint in bytes: a head of 10,000 labels has 20 MB, stored four times. */
const MAX_FILE_BYTES = 2 ** 30;

export class TrainingCheckpoint {
  /**
   * @param {string} cache directory
   * @param {unknown[]} settings all values that the result depends on; JSON.stringify must be able to write them
   */
  constructor(cache, settings) {
    this.dir = join(cache, 'training');
    this.path = join(this.dir, `${sha256(JSON.stringify([CHECKPOINT_VERSION, ...settings])).slice(0, 32)}.safetensors`);
  }

  /** @param {Checkpoint} checkpoint */
  write({ state, best, history }) {
    makeDirectory(this.dir);
    const { weights, moments, epoch, steps } = state;
    const groups = { best: best.weights, moments, weights };
    const tensors = Object.fromEntries(
      Object.entries(groups).flatMap(([group, arrays]) =>
        arrays.map((data, i) => [tensorName(group, i), { dtype: /** @type {const} */ ('F32'), shape: [data.length], data }]),
      ),
    );
    const progress = JSON.stringify({ epoch, steps, best: best.epoch, history });
    writeSafetensors(this.path, tensors, { progress, sha256: hashCheckpoint(progress, tensors) });
  }

  /**
   * @returns {Checkpoint | undefined} undefined if there is none
   * @throws {Error} the checkpoint is damaged
   */
  read() {
    if (!existsSync(this.path)) return undefined;
    const { tensors, metadata } = readSafetensors(readInput(this.path, MAX_FILE_BYTES), this.path);
    if (hashCheckpoint(metadata.progress, tensors) !== metadata.sha256)
      throw new Error(`${this.path} does not have the sha256 it names`);
    const group = (/** @type {string} */ name) =>
      Object.keys(tensors)
        .filter((key) => key.startsWith(`${name}.`))
        .sort()
        .map((key) => /** @type {Float32Array} */ (tensors[key].data));
    const progress = parseJson(metadata.progress, this.path);
    if (!isProgress(progress)) throw new Error(`${this.path} does not say where training was`);
    const { epoch, steps, best, history } = progress;
    const state = { epoch, steps, weights: group('weights'), moments: group('moments') };
    return { state, best: { epoch: best, weights: group('best') }, history };
  }

  /** Removes the checkpoint. */
  remove() {
    rmSync(this.path, { force: true, recursive: true });
  }
}

/**
 * Whether a value has all fields that training continues from.
 *
 * @param {unknown} value
 * @returns {value is {epoch: number, steps: number, best: number, history: EpochResult[]}}
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

/** A name for tensor i of a group; names sort in the order of i. @param {string} group @param {number} i */
function tensorName(group, i) {
  return `${group}.${String(i).padStart(4, '0')}`;
}

/** @param {string} progress @param {Record<string, {data: Float32Array | Int32Array}>} tensors */
function hashCheckpoint(progress, tensors) {
  const names = Object.keys(tensors).sort();
  return sha256(progress, ...names.map((name) => asBytes(tensors[name].data)));
}
