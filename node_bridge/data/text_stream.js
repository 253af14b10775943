/** Texts on stdin: a line each, or with --jsonl an object each. */
import { catchUserError, withLocation } from '../support/errors.js';
import { printMessages } from '../support/printing.js';
import { ObjectReader } from './json_rows.js';
import { readLinesOrErrors } from './lines.js';
import { readTextFields } from './text.js';

/**
 * @typedef {import('../support/errors.js').UserError} UserError
 * @typedef {import('./text.js').Text & {others?: Record<string, unknown>}} StdinText `others` are the
 *   object's other fields
 *
 * @typedef {object} StdinFormat
 * @property {string} [encoding] `utf-8` by default, see encodings.js
 * @property {import('./columns.js').Columns} [columns] of objects, by name; by default found by
 *   their usual names
 */

/**
 * @param {boolean} jsonl lines are objects with `text`, or `sentence1` and `sentence2`, or other
 *   usual names for these
 * @param {StdinFormat} [format]
 * @returns {AsyncGenerator<StdinText | UserError>} for each line its text, or why it holds none
 * @throws {UserError} all of it is in another encoding
 */
export async function* readStdinTexts(jsonl, { encoding, columns } = {}) {
  if (process.stdin.isTTY) printMessages('Type a text a line; end with Ctrl-D.');
  const objects = new ObjectReader(columns, false);
  for await (const line of readLinesOrErrors(process.stdin, 'stdin', { encoding })) {
    yield line instanceof Error ? line : catchUserError(() => (jsonl ? parseObjectText(line, objects) : { text: line }));
  }
}

/**
 * What is made of each text on stdin, until the first that is broken.
 *
 * @template T
 * @param {boolean} jsonl see `textsOfStdin`
 * @param {(text: StdinText) => T} make
 * @param {StdinFormat} [format]
 * @returns {AsyncGenerator<T>}
 * @throws {UserError} a line that holds no text, or one that `make` does not take, by its number
 */
export async function* mapStdinTexts(jsonl, make, format) {
  let line = 0;
  for await (const text of readStdinTexts(jsonl, format)) {
    line += 1;
    yield withLocation(`stdin:${line}`, () => {
      if (text instanceof Error) throw text;
      return make(text);
    });
  }
}

/** @param {string} line @param {ObjectReader} objects @returns {StdinText} */
function parseObjectText(line, objects) {
  // A file may begin with a byte order mark, and files may have been joined.
  const { fields, others } = objects.read(line.replace(/^\uFEFF/, ''));
  return { ...readTextFields(fields), others };
}

// A stream in windows: full ones of a fast stream, and of a slow one what has come.

/** Milliseconds that a window stays open after its first item, or until it is asked for. */
const MAX_WAIT_MS = 20;

/**
 * Reads on while a window is worked at, but never beyond the next one.
 *
 * @template T
 * @param {AsyncIterable<T> | Iterable<T>} source where its reader leaves early, its iterator is
 *   closed at once; an async generator closes when its next item comes
 * @param {number} size
 * @returns {AsyncGenerator<T[]>} in order, none empty or longer than `size`; an error of the
 *   source comes after all that was before it
 */
export async function* streamBatches(source, size) {
  /** @type {T[]} */
  let batch = [];
  let open = true;
  /** @type {{error: unknown} | undefined} */
  let failure;
  // By hand, since `for await` closes an iterator only when its next item has come: what the source
  // reads from would keep the program alive.
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : undefined;
  const items = iterator === undefined ? /** @type {Iterable<T>} */ (source) : { [Symbol.asyncIterator]: () => iterator };
  const first = createSignal();
  const full = createSignal();
  const space = createSignal();

  async function read() {
    try {
      for await (const item of items) {
        batch.push(item);
        first.notify();
        if (batch.length === size) {
          full.notify();
          await space.wait();
        }
        if (!open) return;
      }
    } catch (error) {
      failure = { error };
    } finally {
      open = false;
      first.notify();
      full.notify();
    }
  }

  void read();
  try {
    for (;;) {
      if (open && batch.length === 0) await first.wait();
      if (open && batch.length < size) {
        const timer = setTimeout(full.notify, MAX_WAIT_MS);
        await full.wait();
        clearTimeout(timer);
      }
      if (batch.length === 0) break;
      const ready = batch;
      batch = [];
      space.notify();
      yield ready;
    }
    if (failure !== undefined) throw failure.error;
  } finally {
    const leftEarly = open;
    open = false;
    space.notify();
    if (leftEarly) iterator?.return?.().catch(() => {}); // nobody is there for an error any more
  }
}

/** Something that one waits for and another gives, again and again. */
function createSignal() {
  let notify = () => {};
  return {
    /** @returns {Promise<void>} settled by the next `give` */
    wait: () => new Promise((resolve) => (notify = resolve)),
    notify: () => notify(),
  };
}
