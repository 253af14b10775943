/** The labelled texts of a data file: all are checked first, and read again while they are answered. */
import { assertSameTask, createEmptyFileError } from '../../data/examples.js';
import { taskOf } from '../../data/text.js';
import { UserError } from '../../support/errors.js';

/** How many texts are answered together at first, and at most. */
const FIRST_BATCH = 64;
const LARGEST_BATCH = 1024;
/** The most numbers in the answers of a batch. */
const MAX_NUMBERS = 2 ** 22;

/**
 * @typedef {import('../../data/text.js').GivenText} GivenText
 * @typedef {import('../../data/text.js').Task} Task
 * @typedef {import('../../data/text.js').Text & {line: number}} Example
 */

/**
 * @template {Example} E
 * @typedef {object} LabelledTexts
 * @property {string} path
 * @property {Task} task
 * @property {number} count
 * @property {() => AsyncIterable<E>} examples reads the file again
 */

/**
 * @template A
 * @typedef {object} Answering the part of a classifier that is needed
 * @property {string[]} labels
 * @property {(texts: GivenText[]) => Promise<A[]>} predict
 */

/**
 * Reads a file to its end, so that what is wrong is said before any text is answered.
 *
 * @template {Example} E
 * @param {string} path
 * @param {(onColumns?: (line: string) => void) => AsyncIterable<E>} read the examples; throws a UserError for a wrong one
 * @param {(line: string) => void} onColumns receives a message about the columns
 * @returns {Promise<LabelledTexts<E>>}
 * @throws {UserError} an example is wrong or of another task than the first, or there is none
 */
export async function checkTexts(path, read, onColumns) {
  /** @type {Task | undefined} */
  let task;
  let count = 0;
  for await (const example of read(onColumns)) {
    task ??= taskOf(example);
    assertSameTask(path, example, task);
    count += 1;
  }
  if (task === undefined) throw createEmptyFileError(path);
  return { path, task, count, examples: read };
}

/**
 * @param {{task?: Task}} classifier its task is undefined if it takes single texts and pairs
 * @param {{path: string, task: Task}} texts
 * @throws {UserError} the texts are of another task
 */
export function assertTaskOf({ task }, { path, task: got }) {
  if (task === undefined || got === task) return;
  throw new UserError(`${path} holds ${got} texts, but the classifier takes ${task} ones; expected the same`);
}

/**
 * Answers the texts one after another; memory does not grow with the file.
 *
 * @template {Example} E
 * @template A
 * @param {Answering<A>} classifier
 * @param {Pick<LabelledTexts<E>, 'path' | 'count' | 'examples'>} texts
 * @param {(count: number) => void} onTexts receives how many more texts are done
 * @returns {AsyncGenerator<{example: E, answer: A}>} in the order of the file
 * @throws {UserError} the file has changed since it was checked
 */
export async function* answerTexts(classifier, texts, onTexts) {
  for await (const batch of readBatches(texts, classifier.labels.length)) {
    const answers = await classifier.predict(batch.map(({ text, pair }) => (pair === undefined ? text : { text, pair })));
    for (const [i, example] of batch.entries()) yield { example, answer: answers[i] };
    onTexts(batch.length);
  }
}

/**
 * The examples of a file in batches. The first ones are small, so that progress is soon to be seen; large ones
 * let the encoder make batches of texts of one length. With many labels all are small, since an answer has a
 * number for each.
 *
 * @template {Example} E
 * @param {Pick<LabelledTexts<E>, 'path' | 'count' | 'examples'>} texts
 * @param {number} labels how many
 * @returns {AsyncGenerator<E[]>}
 */
async function* readBatches({ path, count, examples }, labels) {
  const largest = Math.max(1, Math.min(LARGEST_BATCH, Math.floor(MAX_NUMBERS / labels)));
  /** @type {E[]} */
  let batch = [];
  let [size, done] = [Math.min(FIRST_BATCH, largest), 0];
  for await (const example of examples()) {
    batch.push(example);
    done += 1;
    if (done > count) break;
    if (batch.length < size) continue;
    yield batch;
    batch = [];
    size = Math.min(2 * size, largest);
  }
  if (done !== count) throw new UserError(`${path} has changed while it was read; run the command again`);
  if (batch.length > 0) yield batch;
}
