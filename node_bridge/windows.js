/** A stream in windows: full ones of a fast stream, and of a slow one what has come. */

/** Milliseconds that a window stays open after its first item, or until it is asked for. */
const PATIENCE = 20;

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
export async function* windows(source, size) {
  /** @type {T[]} */
  let held = [];
  let open = true;
  /** @type {{error: unknown} | undefined} */
  let failure;
  // By hand, since `for await` closes an iterator only when its next item has come: what the source
  // reads from would keep the program alive.
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : undefined;
  const items = iterator === undefined ? /** @type {Iterable<T>} */ (source) : { [Symbol.asyncIterator]: () => iterator };
  const first = signal();
  const full = signal();
  const room = signal();

  async function read() {
    try {
      for await (const item of items) {
        held.push(item);
        first.give();
        if (held.length === size) {
          full.give();
          await room.come();
        }
        if (!open) return;
      }
    } catch (error) {
      failure = { error };
    } finally {
      open = false;
      first.give();
      full.give();
    }
  }

  void read();
  try {
    for (;;) {
      if (open && held.length === 0) await first.come();
      if (open && held.length < size) {
        const timer = setTimeout(full.give, PATIENCE);
        await full.come();
        clearTimeout(timer);
      }
      if (held.length === 0) break;
      const window = held;
      held = [];
      room.give();
      yield window;
    }
    if (failure !== undefined) throw failure.error;
  } finally {
    const left = open;
    open = false;
    room.give();
    if (left) iterator?.return?.().catch(() => {}); // nobody is there for an error any more
  }
}

/** Something that one waits for and another gives, again and again. */
function signal() {
  let give = () => {};
  return {
    /** @returns {Promise<void>} settled by the next `give` */
    come: () => new Promise((resolve) => (give = resolve)),
    give: () => give(),
  };
}
