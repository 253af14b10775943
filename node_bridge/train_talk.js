/** What train.js says: before, after each epoch, and at the end. */
import { relative, resolve } from 'node:path';

import { formatConfusion } from './confusion.js';

/**
 * @typedef {import('./bundle.js').Bundle} Bundle
 * @typedef {import('./training.js').Problem} Problem
 * @typedef {import('./training.js').EpochResult} EpochResult
 * @typedef {import('./evaluation.js').Evaluation} Evaluation
 */

/** @param {Bundle} bundle @param {Problem} problem @param {number} maxLength */
export function introduction({ contract, dir }, { train, dev, labels }, maxLength) {
  const { name, trained } = contract;
  const weights = trained === false ? 'UNTRAINED WEIGHTS: a seeded model' : trained ? 'trained weights' : 'weights of unknown training';
  return (
    `bundle ${name} (${weights}), ${short(dir)}\n` +
    `${train.count} training and ${dev.count} dev texts (${train.task}), ` +
    `labels ${labels.slice(0, 8).join(', ')}${labels.length > 8 ? `, … (${labels.length})` : ''}; ` +
    `[CLS] and [SEP] are added, texts are cut at ${maxLength} positions`
  );
}

/** @param {EpochResult} epoch */
export function noteOf({ loss, accuracy, devLoss, devAccuracy, tensors }) {
  return (
    `loss ${loss.toFixed(4)}, accuracy ${percent(accuracy)}, ` +
    `dev loss ${devLoss.toFixed(4)}, dev accuracy ${percent(devAccuracy)}, ${tensors} tensors`
  );
}

/** @param {{evaluation: Evaluation, labels: string[], bestEpoch: number, out: string, next: string}} result */
export function verdict({ evaluation, labels, bestEpoch, out, next }) {
  return (
    `\n${formatConfusion(evaluation.confusion, labels)}\n` +
    `dev accuracy ${percent(evaluation.accuracy)}, macro-F1 ${percent(evaluation.macroF1)}, of epoch ${bestEpoch}; ` +
    `saved in ${short(out)} with training.html; next:\n  ${next}\n`
  );
}

/**
 * The summary of `--json`.
 *
 * @param {{details: object, bundle: Bundle, problem: Problem, history: EpochResult[],
 *   evaluation: Evaluation, out: string}} result
 */
export function summaryOf({ details, bundle, problem: { train, dev, labels }, history, evaluation, out }) {
  return {
    classifier: out,
    ...details,
    bundle: { dir: bundle.dir, name: bundle.contract.name, hash: bundle.hash, trained: bundle.contract.trained },
    texts: { train: train.count, dev: dev.count },
    labels,
    history: history.map(({ devLoss: dev_loss, devAccuracy: dev_accuracy, devMacroF1: dev_macro_f1, learningRate: learning_rate, ...epoch }) => ({
      ...epoch,
      learning_rate,
      dev_loss,
      dev_accuracy,
      dev_macro_f1,
    })),
    dev_loss: evaluation.loss,
    confusion: evaluation.confusion,
  };
}

/** @param {number} share */
export function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/** A path as one would type it here. @param {string} path */
export function short(path) {
  const near = relative('', path);
  return near === '' || near.startsWith('..') ? resolve(path) : near;
}
