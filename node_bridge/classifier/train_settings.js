/** Parses and checks the options of train.js. */
import { BACKEND_NAMES } from '../backends/index.js';
import { parseColumns } from '../data/columns.js';
import { listFirst } from '../data/dataset.js';
import { parseEncoding } from '../data/encodings.js';
import { parseChoice, parseWholeNumber } from '../support/command_line.js';
import { UserError } from '../support/errors.js';
import { SCHEDULES } from './fitting.js';
import { HEADS } from './head_layers.js';
import { BEST_BY } from './training.js';

const MAX_LENGTH = 128;
/** The most memory for the vectors, or for the probabilities, of a batch. */
const BATCH_BYTES = 2 ** 30;
/** Values of --class-weights that are names. */
const NAMED_WEIGHTS = ['equal', 'balanced'];

/**
 * @typedef {Omit<import('./training.js').TrainingSettings, 'classWeights'> & {maxLength: number,
 *   workers: number | undefined, split: number | undefined,
 *   layout: import('../data/rows.js').FileLayout}} ParsedSettings `layout`: of the data files
 */

/**
 * @param {Record<string, any>} options
 * @param {import('../bundle/bundle.js').Bundle} bundle
 * @returns {ParsedSettings}
 * @throws {UserError} an option is not valid; names it
 */
export function parseSettings(options, bundle) {
  const limit = bundle.contract.max_length;
  const maxLength = options['max-length'] ?? String(Math.min(MAX_LENGTH, limit));
  const { patience, workers, split, columns, encoding, 'class-weights': weights } = options;
  parseChoice('--backend', options.backend, BACKEND_NAMES);
  if (!NAMED_WEIGHTS.includes(weights)) parseClassWeights(weights);
  return {
    head: parseChoice('--head', options.head, Object.keys(HEADS)),
    epochs: parseWholeNumber('--epochs', options.epochs, 1, 1e6),
    patience: patience === undefined ? Infinity : parseWholeNumber('--patience', patience, 1, 1e6),
    batchSize: parseWholeNumber('--batch-size', options['batch-size'], 1, 1e6),
    seed: parseWholeNumber('--seed', options.seed, 0, 2 ** 31),
    maxLength: parseWholeNumber('--max-length', maxLength, 3, limit),
    learningRate: parsePositiveNumber('--learning-rate', options['learning-rate'], Infinity),
    schedule: parseChoice(
      '--schedule',
      options.schedule,
      /** @type {import('./fitting.js').Schedule[]} */ (Object.keys(SCHEDULES)),
    ),
    bestBy: parseChoice('--best-by', options['best-by'], /** @type {(keyof typeof BEST_BY)[]} */ (Object.keys(BEST_BY))),
    workers: workers === undefined ? undefined : parseWholeNumber('--workers', workers, 1, 256),
    split: split === undefined ? undefined : parsePositiveNumber('--split', split, 1),
    layout: {
      encoding: parseEncoding(encoding),
      columns: columns === undefined ? undefined : parseColumns(columns),
      hasHeader: !options['no-header'],
    },
  };
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

/** @param {string} name @param {string} value @param {number} end */
function parsePositiveNumber(name, value, end) {
  const read = Number(value);
  if (read > 0 && read < end) return read;
  const range = end === Infinity ? 'a positive number' : `a number between 0 and ${end}`;
  throw new UserError(`Expected ${name} to be ${range}, got \`${value}\``);
}
