/** The options of train.js that decide the result, and the settings that they give with a bundle. */
import { listFirst } from '../../data/dataset.js';
import { UserError } from '../../support/errors.js';
import {
  choiceOption,
  customOption,
  parseWholeNumber,
  positiveNumberOption,
  toTypedName,
  wholeNumberOption,
} from '../../support/options.js';
import { assertOneVector } from '../../encoder/pooling.js';
import { describeLongRule, parseLongRule } from '../../tokenizer/long_rule.js';
import { MIN_LENGTH } from '../../tokenizer/truncate.js';
import { DEFAULTS } from './defaults.js';
import { SCHEDULES } from './fitting.js';
import { HEADS } from '../head_layers.js';
import { BEST_BY } from './training.js';

const MAX_SEED = 2 ** 31;
/** The most memory for the vectors, or for the probabilities, of a batch. */
const BATCH_BYTES = 2 ** 30;
/** Values of --class-weights that are names. */
const NAMED_WEIGHTS = ['equal', 'balanced'];

/** The options of the head's training. */
export const TRAINING_OPTIONS = {
  head: choiceOption({
    help: 'the layers on the vectors of the encoder',
    names: Object.keys(HEADS),
    meanings: Object.fromEntries(Object.entries(HEADS).map(([name, { meaning }]) => [name, meaning])),
    default: DEFAULTS.head,
  }),
  epochs: wholeNumberOption({ help: 'the best one is saved', default: DEFAULTS.epochs }),
  bestBy: choiceOption({
    value: 'WHAT',
    help: 'what makes an epoch the best',
    names: /** @type {(keyof typeof BEST_BY)[]} */ (Object.keys(BEST_BY)),
    default: DEFAULTS.bestBy,
  }),
  patience: wholeNumberOption({
    help: 'end after N epochs without a better one',
    default: Infinity,
    defaultText: 'never',
  }),
  batchSize: wholeNumberOption({ help: 'texts of a batch', default: DEFAULTS.batchSize }),
  learningRate: positiveNumberOption({ value: 'X', help: 'of Adam', below: Infinity, default: DEFAULTS.learningRate }),
  schedule: choiceOption({
    help: 'of the learning rate',
    names: /** @type {import('./fitting.js').Schedule[]} */ (Object.keys(SCHEDULES)),
    default: DEFAULTS.schedule,
  }),
  classWeights: customOption({
    value: 'W',
    help: `what a text of a label counts: ${NAMED_WEIGHTS.join(', ')}, or JSON such as '{"0":1,"1":2.5}'`,
    default: /** @type {string} */ (DEFAULTS.classWeights),
    parse: checkClassWeights,
  }),
  seed: wholeNumberOption({
    help: 'of --split, the first weights and the order of the texts',
    least: 0,
    most: MAX_SEED,
    default: DEFAULTS.seed,
  }),
};

/**
 * @typedef {import('../../support/options.js').Values<typeof TRAINING_OPTIONS> & {maxLength: string | undefined,
 *   workers: number | undefined, split: number | undefined, encoding: string,
 *   columns: import('../../data/columns.js').Columns | undefined, noHeader: boolean}
 *   & import('../../tokenizer/long_rule.js').LongOptions} TrainingValues of the options
 *
 * @typedef {Omit<import('./training.js').TrainingSettings, 'classWeights'> & {maxLength: number,
 *   long?: import('../../tokenizer/long_rule.js').LongRule, workers: number | undefined, split: number | undefined,
 *   layout: import('../../data/rows.js').FileLayout}} ParsedSettings `layout`: of the data files
 */

/**
 * The settings of a training. The order of their names decides the hash by which train.js knows a
 * finished classifier again.
 *
 * @param {TrainingValues} values
 * @param {import('../../bundle/bundle.js').Bundle} bundle
 * @returns {ParsedSettings}
 * @throws {UserError} `maxLength` is no length that the bundle has, or long texts cannot be read so
 */
export function buildSettings(values, bundle) {
  const { head, epochs, patience, batchSize, seed, learningRate, schedule, bestBy, workers, split } = values;
  const { encoding, columns, noHeader } = values;
  const limit = bundle.contract.max_length;
  const maxLength =
    values.maxLength === undefined
      ? Math.min(DEFAULTS.maxLength, limit)
      : parseWholeNumber('--max-length', values.maxLength, MIN_LENGTH, limit);
  const long = parseLongRule(values, maxLength);
  assertOneVector(long, HEADS[head].pooling, `the head ${head}`);
  return {
    ...{ head, epochs, patience, batchSize, seed, maxLength, learningRate, schedule, bestBy, workers, split },
    ...(long === undefined ? {} : { long }), // texts that are cut have the hash that they had before there was a choice
    layout: { encoding, columns, hasHeader: !noHeader },
  };
}

/**
 * The settings as the page of the training shows them, by the names of their options.
 *
 * @param {ParsedSettings} settings
 * @param {string} classWeights as they were typed
 * @param {string} backend
 * @returns {[string, string][]}
 */
export function describeSettings({ layout: _, workers: __, split, patience, long, ...decides }, classWeights, backend) {
  const shown = {
    ...decides,
    patience: patience === Infinity ? 'never' : patience,
    ...(split === undefined ? {} : { split }),
    long: describeLongRule(long),
    ...{ classWeights, backend },
  };
  return Object.entries(shown).map(([key, value]) => [toTypedName(key), String(value)]);
}

/**
 * Computes the weight of each label's texts in the loss.
 *
 * @param {string} option `equal`, `balanced` (the weights of all texts of a label have the same sum), or a JSON object by label
 * @param {import('./training.js').TrainingProblem} problem
 * @returns {number[]} in the order of the labels
 * @throws {UserError} it is none of these, or a label has no positive number
 */
export function computeClassWeights(option, { labels, targets }) {
  if (option === 'equal') return labels.map(() => 1);
  if (option === 'balanced') {
    const counts = new Array(labels.length).fill(0);
    for (const target of targets) counts[target] += 1;
    return counts.map((count) => targets.length / (labels.length * count));
  }
  const weightOf = parseClassWeights(option);
  const known = new Set(labels);
  const unknown = Object.keys(weightOf).find((label) => !known.has(label));
  const weights = labels.map((label) => weightOf[label]);
  if (unknown !== undefined || !weights.every((weight) => Number.isFinite(weight) && weight > 0)) {
    throw new UserError(`Expected --class-weights to have a positive number for each of ${listFirst(labels)}, got ${option}`);
  }
  return weights;
}

/**
 * Refuses a batch that is too large for memory, before hours of encoding.
 *
 * @param {ParsedSettings} asked
 * @param {import('./training.js').TrainingProblem} problem
 * @param {number} hidden width of a vector
 * @throws {UserError} the batch is too large; names --batch-size
 */
export function assertBatchFitsMemory({ batchSize, head, maxLength }, { train, labels }, hidden) {
  const positions = HEADS[head].pooling === 'sequence_output' ? maxLength : 1;
  const each = 4 * Math.max(positions * hidden, labels.length);
  const most = Math.max(1, Math.floor(BATCH_BYTES / each));
  if (Math.min(batchSize, train.count) <= most) return;
  throw new UserError(
    `Expected --batch-size to be at most ${most} with ${labels.length} labels and ${positions} positions of ${hidden} numbers, got \`${batchSize}\``,
  );
}

/** Refuses what `computeClassWeights` cannot read, before the labels are known. @param {string} typed @returns {string} */
function checkClassWeights(typed) {
  if (!NAMED_WEIGHTS.includes(typed)) parseClassWeights(typed);
  return typed;
}

/** @param {string} option */
function parseClassWeights(option) {
  try {
    const value = JSON.parse(option);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch {
    // The error is thrown below.
  }
  throw new UserError(`Expected --class-weights to be equal, balanced or a JSON object, got \`${option}\``);
}
