/**
 * The hooks at which a fault changes Node's side: methods that the answers of the runner pass through.
 *
 *   `Encoder.pad`                 ids, mask and types of a batch, as they are compared and fed
 *   `Encoder.runBatch`            before: the inputs of the model alone; after: its outputs
 *   `Tokenizer.assemble`          the ids of one text, with special tokens
 *   `Tokenizer.layOut`            before: the options of a text
 *   `Scanner.scan`                before: the text
 *   `Scanner.endWord`             the pieces of one word
 *   `Trie.step`                   before: the node that a piece continues from
 *   `Tokenizer.fromBundle`        after: the whole tokenizer
 *   `Head.inputsOf`               the part of `sequence_output` that the classifier uses
 *   `Head.probabilities`          after: a row for each text
 *   `Head.labelOf`                the label of one row
 *   `Tokenizer.encodeWithTokens`  after: tokens and their offsets in the text
 *   `BundleHead.probabilities`    before: the scores of a bundle that decides by itself; after: its probabilities
 *   `ANSWERS`                     what follows from the probabilities of one text, by task
 */
import { BundleHead } from '../node_bridge/classifier/decisions/bundle_head.js';
import { Encoder } from '../node_bridge/encoder/encoder.js';
import { Tokenizer } from '../node_bridge/tokenizer/index.js';
import { Scanner } from '../node_bridge/tokenizer/scanner.js';
import { CONTINUE, START } from '../node_bridge/tokenizer/vocab.js';

/** @typedef {{input_ids: Int32Array, attention_mask: Int32Array, token_type_ids: Int32Array}} Batch */
/** @typedef {{encodings: {ids: Int32Array}[], encoder: Encoder, width: number}} Padding */
/** @typedef {{vocab: string[], original: () => unknown}} Word */

/**
 * Replaces a method by a function.
 *
 * @param {any} owner a class or its prototype
 * @param {string} name of the method
 * @param {(original: (...args: any[]) => any, self: any, args: any[]) => any} change `original` is bound;
 *   without arguments it gets those of the call
 */
export function wrapMethod(owner, name, change) {
  const method = owner[name];
  if (typeof method !== 'function') throw new Error(`there is no hook ${name} any more`);
  owner[name] = function changed(/** @type {any[]} */ ...args) {
    return change((...others) => method.apply(this, others.length > 0 ? others : args), this, args);
  };
}

/** @param {(batch: Batch, padding: Padding) => unknown} change changes the data in place */
export function changePadded(change) {
  wrapMethod(Encoder.prototype, 'pad', (original, encoder, [encodings]) => {
    const batch = original();
    change(listData(batch), { encodings, encoder, width: batch.input_ids.shape[1] });
    return batch;
  });
}

/**
 * Sets another id at each position of padding.
 *
 * @param {(contract: import('../node_bridge/bundle/bundle.js').TokenizerContract) => number} idOf
 * @returns {(batch: Batch, padding: Padding) => void}
 */
export function setPadding(idOf) {
  return ({ input_ids: ids }, { encodings, encoder, width }) => {
    const id = idOf(encoder.bundle.contract.tokenizer);
    encodings.forEach((encoding, row) => ids.fill(id, row * width + encoding.ids.length, (row + 1) * width));
  };
}

/** @param {unknown[]} encodings @param {number} width @param {(start: number) => unknown} each receives the start of its row */
export function forEachRow(encodings, width, each) {
  encodings.forEach((_, row) => each(row * width));
}

/** @param {(batch: Batch) => unknown} change changes a copy */
export function changeFed(change) {
  wrapMethod(Encoder.prototype, 'runBatch', (original, _, [batch, ...rest]) => {
    const copies = Object.fromEntries(
      Object.entries(batch).map(([role, { shape, data }]) => [role, { shape, data: data.slice() }]),
    );
    change(listData(copies));
    return original(copies, ...rest);
  });
}

/** @param {any} batch @returns {any} the data of each tensor */
function listData(batch) {
  return Object.fromEntries(Object.entries(batch).map(([role, { data }]) => [role, data]));
}

/**
 * @param {(name: string, data: Float32Array, shape: number[]) => unknown} change changes a copy: on some
 *   backends two equal outputs share memory
 */
export function changeAnswers(change) {
  wrapMethod(Encoder.prototype, 'runBatch', async (original) => {
    const answers = Object.entries(await original());
    return Object.fromEntries(
      answers.map(([name, { shape, data: read }]) => {
        const data = Float32Array.from(read);
        change(name, data, shape);
        return [name, { shape, data }];
      }),
    );
  });
}

/** As `changeAnswers`, but only for outputs, not for taps. @param {(name: string, data: Float32Array, shape: number[]) => unknown} change */
export function changeOutputs(change) {
  changeAnswers((name, data, shape) => name.startsWith('taps/') || change(name, data, shape));
}

/**
 * @param {(rows: number[][]) => number[][]} change returns the probabilities of each text from its scores, of a
 *   head on texts
 */
export function changeScores(change) {
  wrapMethod(BundleHead.prototype, 'probabilities', async (_, __, [rows]) =>
    change(rows.map((/** @type {Float32Array} */ row) => [...row])).map((row) => Float64Array.from(row)),
  );
}

/** @param {(ids: Int32Array, layout: any, tokenizer: any) => unknown} change changes the ids of one text */
export function changeAssembled(change) {
  wrapMethod(Tokenizer.prototype, 'assemble', (original, tokenizer, [layout]) => {
    const encoding = original();
    change(encoding.ids, layout, tokenizer);
    return encoding;
  });
}

/** @param {(options: any, tokenizer: Tokenizer) => object} change */
export function changeOptions(change) {
  wrapMethod(Tokenizer.prototype, 'layOut', (original, tokenizer, [text, options]) => original(text, change(options, tokenizer)));
}

/** @param {(scanner: Scanner) => unknown} change is called after a word became [UNK], which is the last token */
export function changeUnknownWord(change) {
  wrapMethod(Scanner.prototype, 'endWord', (original, scanner) => {
    const before = scanner.count;
    original();
    if (scanner.count === before + 1 && scanner.ids[before] === scanner.unknown) change(scanner);
  });
}

/** `Scanner.endWord`, but it takes the shortest piece. @param {Scanner} scanner */
export function endWordShortestFirst(scanner) {
  const { trie, symbols, letterStarts, letterEnds, length, count: before } = scanner;
  const tooLong = scanner.weight > scanner.tables.limit;
  scanner.length = scanner.weight = scanner.fence = 0;
  for (let at = 0; at < length; ) {
    let node = at === 0 ? START : CONTINUE;
    let end = at;
    while (end < length && !tooLong && node !== -1 && (end === at || trie.idAt[node] === -1))
      node = trie.step(node, symbols[end++]);
    const id = node === -1 || tooLong ? -1 : trie.idAt[node];
    if (id === -1) {
      scanner.count = before;
      scanner.emit(scanner.unknown, letterStarts[0], letterEnds[length - 1]);
      return;
    }
    scanner.emit(id, letterStarts[at], letterEnds[end - 1]);
    at = end;
  }
}

/** Rotates the data by `by` elements to the left, in place. @template {Int32Array | Float32Array} T @param {T} data @param {number} by */
export function rotate(data, by) {
  data.set(/** @type {any} */ (createRotated(data, by)));
}

/** @template {Int32Array | Float32Array} T @param {T} data @param {number} by may be negative @returns {T} */
export function createRotated(data, by) {
  const made = data.slice();
  data.forEach((_, i) => (made[i] = data[(i + by + data.length) % data.length]));
  return /** @type {T} */ (made);
}
