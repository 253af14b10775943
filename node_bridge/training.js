/**
 * From labelled texts to a trained classifier: encodes each text once, then trains the head on
 * the vectors. Knows nothing of the command line or of files.
 */
import { Head } from './head.js';
import { confusionMatrix } from './confusion.js';
import { labelsOf, targetsOf } from './data.js';
import { UserError } from './errors.js';
import { evaluate, mostProbable } from './evaluation.js';
import { featuresOf } from './features.js';

/** Dev texts whose answers are kept with the classifier. */
const GOLDEN = 16;

/**
 * @typedef {import('./data.js').Dataset} Dataset
 * @typedef {import('./progress.js').Progress} Progress
 * @typedef {import('./head.js').Epoch & {devLoss: number, devAccuracy: number}} EpochResult
 *
 * @typedef {object} Problem
 * @property {Dataset} train
 * @property {Dataset} dev
 * @property {string[]} labels
 * @property {Int32Array} targets of the training texts
 * @property {Int32Array} devTargets
 *
 * @typedef {object} Settings
 * @property {number} epochs
 * @property {number} batchSize
 * @property {number} seed
 * @property {number} learningRate
 * @property {number} maxLength
 *
 * @typedef {object} Listener
 * @property {(title: string, total: number) => Progress} progress
 * @property {(epoch: EpochResult) => string} noteOf what to say of an epoch that is done
 *
 * @typedef {object} Trained
 * @property {Head} classifier
 * @property {EpochResult[]} epochs
 * @property {number} devLoss
 * @property {number} devAccuracy
 * @property {number[][]} confusion `confusion[true][predicted]` over the dev texts
 * @property {import('./classifier_files.js').Golden[]} golden
 */

/**
 * Checks that the two sets make a problem to learn; before the encoder is loaded.
 *
 * @param {Dataset} train
 * @param {Dataset} dev
 * @returns {Problem}
 * @throws {UserError} one label only, a dev label that training does not know, other tasks
 */
export function problemOf(train, dev) {
  if (train.task !== dev.task) {
    throw new UserError(`${train.path} holds ${train.task} texts, but ${dev.path} ${dev.task} ones; expected the same`);
  }
  const labels = labelsOf(train);
  return { train, dev, labels, targets: targetsOf(train, labels), devTargets: targetsOf(dev, labels) };
}

/**
 * @param {Problem} problem
 * @param {{tokenizer: import('./features.js').Tokenizer,
 *   encoder: import('./features.js').Encoder & {hidden: number}}} tools
 * @param {Settings} settings
 * @param {Listener} listener
 * @returns {Promise<Trained>}
 */
export async function trainOn({ train, dev, labels, targets, devTargets }, tools, settings, listener) {
  const texts = [...train.examples, ...dev.examples];
  const encoding = listener.progress('encoding texts', texts.length);
  const { maxLength } = settings;
  const features = await featuresOf(texts, tools, { maxLength, onEncoded: encoding.advance }).finally(encoding.stop);
  encoding.done();
  const devFeatures = features.splice(train.examples.length);

  const classifier = Head.create({ hidden: tools.encoder.hidden, labels, seed: settings.seed });
  /** @type {EpochResult[]} */
  const epochs = [];
  /** @type {Progress | undefined} */
  let bar;
  const training = classifier.train(features, targets, {
    ...settings,
    onBatch(count) {
      bar ??= listener.progress(`epoch ${epochs.length + 1} of ${settings.epochs}`, features.length);
      bar.advance(count);
    },
    async onEpoch(epoch) {
      const { loss, accuracy } = await evaluate(classifier, devFeatures, devTargets);
      const result = { ...epoch, devLoss: loss, devAccuracy: accuracy };
      epochs.push(result);
      bar?.done(listener.noteOf(result));
      bar = undefined;
    },
  });
  await training.finally(() => bar?.stop());

  const { loss, accuracy, predictions } = await evaluate(classifier, devFeatures, devTargets);
  const confusion = confusionMatrix(devTargets, predictions, labels.length);
  const golden = await goldenOf(classifier, dev.examples, devFeatures);
  return { classifier, epochs, devLoss: loss, devAccuracy: accuracy, confusion, golden };
}

/**
 * What the classifier says of the first few dev texts, so that it can be told later whether a
 * copy still says the same.
 *
 * @param {Head} classifier
 * @param {{text: string, pair?: string}[]} examples
 * @param {Float32Array[]} features
 */
async function goldenOf(classifier, examples, features) {
  const rows = await classifier.probabilities(features.slice(0, GOLDEN));
  return rows.map((row, i) => {
    const { text, pair } = examples[i];
    const named = pair === undefined ? { text } : { sentence1: text, sentence2: pair };
    return { ...named, label: classifier.labels[mostProbable(row)], probabilities: Array.from(row) };
  });
}
