/** Reads texts on stdin: one per line, or with --jsonl one JSON object per line. */
import { catchUserError, withLocation } from '../support/errors.js';
import { printMessages } from '../support/printing.js';
import { ObjectReader } from './json_rows.js';
import { readLinesOrErrors } from './lines.js';
import { readTextFields } from './text.js';

/**
 * @typedef {import('../support/errors.js').UserError} UserError
 * @typedef {import('./text.js').Text & {others?: Record<string, unknown>}} StdinText `others`: the other
 *   fields of the object
 *
 * @typedef {object} StdinFormat
 * @property {string} [encoding] `utf-8` by default, see encodings.js
 * @property {import('./columns.js').Columns} [columns] of objects, by name; by default they are
 *   found by their usual names
 */

/**
 * @param {boolean} jsonl lines are objects with `text`, or `sentence1` and `sentence2`, or other
 *   usual names for these
 * @param {StdinFormat} [format]
 * @returns {AsyncGenerator<StdinText | UserError>} for each line its text, or the error
 * @throws {UserError} stdin is in another encoding
 */
export async function* readStdinTexts(jsonl, { encoding, columns } = {}) {
  if (process.stdin.isTTY) printMessages('Type a text a line; end with Ctrl-D.');
  const objects = new ObjectReader(columns, false);
  for await (const line of readLinesOrErrors(process.stdin, 'stdin', { encoding })) {
    yield line instanceof Error ? line : catchUserError(() => (jsonl ? parseObjectText(line, objects) : { text: line }));
  }
}

/**
 * Maps each text on stdin, and stops at the first broken line.
 *
 * @template T
 * @param {boolean} jsonl see `readStdinTexts`
 * @param {(text: StdinText) => T} make
 * @param {StdinFormat} [format]
 * @returns {AsyncGenerator<T>}
 * @throws {UserError} a line has no text, or `make` throws; names the line
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
  // A byte order mark may be at the start of any line, since files may have been joined.
  const { fields, others } = objects.read(line.replace(/^\uFEFF/, ''));
  return { ...readTextFields(fields), others };
}

/** How long a batch waits for more items after its first one, in milliseconds. */
const MAX_WAIT_MS = 20;

/**
 * Splits a stream into batches: full ones from a fast stream; from a slow stream, the items that have
 * come. Reads the next batch while the current one is used, but no further.
 *
 * @template T
 * @param {AsyncIterable<T> | Iterable<T>} source if the reader of the batches stops early, the
 *   iterator is closed at once; an async generator closes when its next item comes
 * @param {number} size the most items of a batch
 * @returns {AsyncGenerator<T[]>} in order, none of them empty; an error of the source comes after
 *   all items before it
 */
export async function* streamBatches(source, size) {
  /** @type {T[]} */
  let batch = [];
  let open = true;
  /** @type {{error: unknown} | undefined} */
  let failure;
  // `for await` would close the iterator only after its next item: until then the source would keep the
  // program running.
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
    if (leftEarly) iterator?.return?.().catch(() => {}); // nobody can receive an error any more
  }
}

/** A signal: one side waits for it, the other side gives it, any number of times. */
function createSignal() {
  let notify = () => {};
  return {
    /** @returns {Promise<void>} settled by the next `notify` */
    wait: () => new Promise((resolve) => (notify = resolve)),
    notify: () => notify(),
  };
}
