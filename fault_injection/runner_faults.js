/**
 * The faults for Node's side while it runs. Each changes one step at a named hook, so the code itself may
 * change freely. `fault_injection/kinds/runner.py` says at which stage each fault must be found.
 *
 * A hook is a method that the answers of the runner pass through:
 *
 *   `Encoder.pad`            ids, mask and types of a batch, as they are compared and fed
 *   `Encoder.runBatch`       before: the inputs of the model alone; after: its outputs
 *   `Tokenizer.assemble`     the ids of one text, with special tokens
 *   `Tokenizer.layOut`       before: the options of a text
 *   `Scanner.scan`           before: the text
 *   `Scanner.endWord`        the pieces of one word
 *   `Trie.step`              before: the node that a piece continues from
 *   `Tokenizer.fromBundle`   after: the whole tokenizer
 *   `Head.inputsOf`          the part of `sequence_output` that the classifier uses
 *   `Head.probabilities`     after: a row for each text
 *   `Head.labelOf`           the label of one row
 */
import { tf } from '../node_bridge/backends/tfjs.js';
import { findMostProbable } from '../node_bridge/classifier/evaluation/evaluation.js';
import { Head } from '../node_bridge/classifier/head.js';
import { Encoder } from '../node_bridge/encoder/encoder.js';
import { Tokenizer } from '../node_bridge/tokenizer/index.js';
import { Scanner } from '../node_bridge/tokenizer/scanner.js';
import { CONTINUE, START, Trie } from '../node_bridge/tokenizer/vocab.js';

/** @typedef {{input_ids: Int32Array, attention_mask: Int32Array, token_type_ids: Int32Array}} Batch */
/** @typedef {{encodings: {ids: Int32Array}[], encoder: Encoder, width: number}} Padding */
/** @typedef {{vocab: string[], original: () => unknown}} Word */

/** @type {Record<string, () => void>} by name */
const FAULTS = {
  // Padding, mask, types and rows.
  mask_all_ones: () => changePadded(({ attention_mask: mask }) => mask.fill(1)),
  padding_on_the_left: () =>
    changePadded((batch, { encodings, width }) =>
      encodings.forEach(({ ids }, row) => {
        for (const data of Object.values(batch)) rotate(data.subarray(row * width, (row + 1) * width), ids.length - width);
      }),
    ),
  padded_with_unknown: () => changePadded(setPadding(({ special_tokens: special }) => special.unk.id)),
  padding_is_a_padded_row: () => changePadded(setPadding(({ vocab_size: size }) => size)),
  ids_overflow: () => changePadded(({ input_ids: ids }) => ids.set(Int8Array.from(ids))),
  types_of_the_second_text: () =>
    changePadded(({ token_type_ids: types }, { encodings, width }) =>
      forEachRow(encodings, width, (row) => types.fill(1, row, row + width)),
    ),
  last_token_masked: () =>
    changePadded(({ attention_mask: mask }, { encodings, width }) =>
      encodings.forEach(({ ids }, row) => ids.length > 0 && mask.fill(0, row * width + ids.length - 1, row * width + ids.length)),
    ),

  // The inputs of the model alone.
  fed_ids_rotated: () => changeFed(({ input_ids: ids }) => rotate(ids, 1)),
  fed_mask_for_types: () => changeFed(({ attention_mask: mask, token_type_ids: types }) => types.set(mask)),
  fed_mask_of_ones: () => changeFed(({ attention_mask: mask }) => mask.fill(1)),
  fed_types_of_zeros: () => changeFed(({ token_type_ids: types }) => types.fill(0)),

  // The outputs of the model.
  answers_rounded: () =>
    changeAnswers((_, data) => {
      const bits = new Uint32Array(data.buffer);
      bits.set(bits.map((value) => value & 0xffff0000));
    }),
  elements_zeroed_at_random: () =>
    changeOutputs((_, data) => data.forEach((__, i) => data.fill(0, i, i + Number(Math.random() < 0.1)))),
  rows_rotated: () => changeAnswers((_, data, shape) => rotate(data, data.length / shape[0])),
  output_rows_rotated: () => changeOutputs((_, data, shape) => rotate(data, data.length / shape[0])),
  pooled_scaled: () =>
    changeAnswers((name, data) => name === 'pooled_output' && data.forEach((x, i) => (data[i] = x * 1.0001 + 0.0001))),
  tensors_leak: () =>
    wrapMethod(Encoder.prototype, 'runBatch', (original) => {
      tf.keep(tf.tensor1d([1]));
      return original();
    }),
  answers_kept_by_ids_alone: () => {
    const known = new Map();
    wrapMethod(Encoder.prototype, 'runBatch', (original, _, [batch, names]) => {
      const { shape, data } = batch.input_ids;
      const key = JSON.stringify([names, shape, ...data]);
      if (!known.has(key)) known.set(key, batch);
      return original(known.get(key), names);
    });
  },

  // Tokens.
  cls_missing: () => changeAssembled((ids, { lead }) => ids.fill(0, 0, Math.min(lead, 1))),
  special_tokens_missing: () => changeOptions((options) => ({ ...options, specialTokens: false })),
  sep_is_cls: () =>
    changeAssembled((ids, { lead, first }, { special }) =>
      ids.fill(special.cls.id, lead + first, lead + first + Math.min(lead, 1)),
    ),
  truncation_side: () =>
    changeAssembled((ids, { lead, first, secondAt }, { scanner }) =>
      ids.set(scanner.ids.subarray(secondAt - first, secondAt), lead),
    ),
  truncation_off_by_one: () =>
    changeOptions((options, { maxLength }) => ({ ...options, maxLength: (options.maxLength ?? maxLength) - 1 })),
  strings_compared_by_their_first_character: () =>
    wrapMethod(Tokenizer, 'fromBundle', (original) => {
      const made = original();
      const { tables, unknown, softSpaces } = made.scanner;
      const pieces = made.vocab.map((/** @type {string} */ piece) => piece.slice(0, 1));
      made.scanner = new Scanner(tables, new Trie(pieces, tables.isolated, made.algorithm === 'bert'), { unknown, softSpaces });
      return made;
    }),
  pieces_forget_their_place: () =>
    wrapMethod(Trie.prototype, 'step', (original, _, [node, symbol]) => original(node === CONTINUE ? START : node, symbol)),
  shortest_piece_first: () => wrapMethod(Scanner.prototype, 'endWord', (_, scanner) => endWordShortestFirst(scanner)),
  unknown_words_dropped: () => changeUnknownWord((scanner) => (scanner.count -= 1)),
  unknown_words_get_a_padded_row: () => {
    let size = 0;
    wrapMethod(Tokenizer, 'fromBundle', (original) => {
      const made = original();
      size = made.vocab.length;
      return made;
    });
    changeUnknownWord((scanner) => (scanner.ids[scanner.count - 1] = size));
  },
  case_changed_in_javascript: () =>
    wrapMethod(Scanner.prototype, 'scan', (original, _, [text, from, to]) => {
      const upper = text.slice(from, to).toUpperCase();
      return original(upper, 0, upper.length);
    }),

  // The classifier.
  vector_of_second_position: () =>
    wrapMethod(Head.prototype, 'inputsOf', (original, _, [{ shape, data }, encodings]) =>
      original({ shape, data: createRotated(data, shape[2]) }, encodings),
    ),
  probabilities_of_other_texts: () =>
    wrapMethod(Head.prototype, 'probabilities', async (original) => {
      const rows = await original();
      rows.push(rows.shift());
      return rows;
    }),
  least_probable_label: () =>
    wrapMethod(Head.prototype, 'labelOf', (_, head, [row]) => head.labels[row.indexOf(Math.min(...row))]),
  labels_shifted_in_javascript: () =>
    wrapMethod(Head.prototype, 'labelOf', (_, { labels }, [row]) => labels[(findMostProbable(row) + 1) % labels.length]),
};

/** Installs one fault in this process. @param {string} name */
export function install(name) {
  if (!Object.hasOwn(FAULTS, name)) throw new Error(`there is no fault ${name}; known are ${Object.keys(FAULTS).join(', ')}`);
  FAULTS[name]();
}

/** The names of all faults. */
export const NAMES = Object.keys(FAULTS);

/**
 * Replaces a method by a function.
 *
 * @param {any} owner a class or its prototype
 * @param {string} name of the method
 * @param {(original: (...args: any[]) => any, self: any, args: any[]) => any} change `original` is bound;
 *   without arguments it gets those of the call
 */
function wrapMethod(owner, name, change) {
  const method = owner[name];
  if (typeof method !== 'function') throw new Error(`there is no hook ${name} any more`);
  owner[name] = function changed(/** @type {any[]} */ ...args) {
    return change((...others) => method.apply(this, others.length > 0 ? others : args), this, args);
  };
}

/** @param {(batch: Batch, padding: Padding) => unknown} change changes the data in place */
function changePadded(change) {
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
function setPadding(idOf) {
  return ({ input_ids: ids }, { encodings, encoder, width }) => {
    const id = idOf(encoder.bundle.contract.tokenizer);
    encodings.forEach((encoding, row) => ids.fill(id, row * width + encoding.ids.length, (row + 1) * width));
  };
}

/** @param {unknown[]} encodings @param {number} width @param {(start: number) => unknown} each receives the start of its row */
function forEachRow(encodings, width, each) {
  encodings.forEach((_, row) => each(row * width));
}

/** @param {(batch: Batch) => unknown} change changes a copy */
function changeFed(change) {
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
function changeAnswers(change) {
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
function changeOutputs(change) {
  changeAnswers((name, data, shape) => name.startsWith('taps/') || change(name, data, shape));
}

/** @param {(ids: Int32Array, layout: any, tokenizer: any) => unknown} change changes the ids of one text */
function changeAssembled(change) {
  wrapMethod(Tokenizer.prototype, 'assemble', (original, tokenizer, [layout]) => {
    const encoding = original();
    change(encoding.ids, layout, tokenizer);
    return encoding;
  });
}

/** @param {(options: any, tokenizer: Tokenizer) => object} change */
function changeOptions(change) {
  wrapMethod(Tokenizer.prototype, 'layOut', (original, tokenizer, [text, options]) => original(text, change(options, tokenizer)));
}

/** @param {(scanner: Scanner) => unknown} change is called after a word became [UNK], which is the last token */
function changeUnknownWord(change) {
  wrapMethod(Scanner.prototype, 'endWord', (original, scanner) => {
    const before = scanner.count;
    original();
    if (scanner.count === before + 1 && scanner.ids[before] === scanner.unknown) change(scanner);
  });
}

/** `Scanner.endWord`, but it takes the shortest piece. @param {Scanner} scanner */
function endWordShortestFirst(scanner) {
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
function rotate(data, by) {
  data.set(/** @type {any} */ (createRotated(data, by)));
}

/** @template {Int32Array | Float32Array} T @param {T} data @param {number} by may be negative @returns {T} */
function createRotated(data, by) {
  const made = data.slice();
  data.forEach((_, i) => (made[i] = data[(i + by + data.length) % data.length]));
  return /** @type {T} */ (made);
}
