/**
 * The faults for Node's side while it runs. Each changes one step at a named hook (`hooks.js`), so the code
 * itself may change freely. `fault_injection/kinds/runner.py` says at which stage each fault must be found.
 */
import { tf } from '../node_bridge/backends/tfjs.js';
import { ANSWERS } from '../node_bridge/classifier/decisions/answers.js';
import { BundleHead } from '../node_bridge/classifier/decisions/bundle_head.js';
import { findMostProbable } from '../node_bridge/classifier/evaluation/evaluation.js';
import { Head } from '../node_bridge/classifier/head.js';
import { Encoder } from '../node_bridge/encoder/encoder.js';
import { Tokenizer } from '../node_bridge/tokenizer/index.js';
import { Scanner } from '../node_bridge/tokenizer/scanner.js';
import { CONTINUE, START, Trie } from '../node_bridge/tokenizer/vocab.js';
import {
  changeAnswers,
  changeAssembled,
  changeFed,
  changeOptions,
  changeOutputs,
  changePadded,
  changeScores,
  changeUnknownWord,
  createRotated,
  endWordShortestFirst,
  forEachRow,
  rotate,
  setPadding,
  wrapMethod,
} from './hooks.js';

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

  // What a bundle decides by itself.
  softmax_over_the_texts: () =>
    changeScores((rows) => {
      const columns = rows[0].map((_, label) => softmax(rows.map((row) => row[label])));
      return rows.map((_, text) => columns.map((shares) => shares[text]));
    }),
  sigmoid_for_softmax: () => changeScores((rows) => rows.map((row) => row.map((score) => 1 / (1 + Math.exp(-score))))),
  scores_for_probabilities: () => changeScores((rows) => rows),
  threshold_ignored: () =>
    wrapMethod(ANSWERS, 'multi_label', (original, _, [row, head, top]) =>
      original(row, { labels: head.labels, threshold: 0 }, top),
    ),
  labels_in_another_order: () =>
    wrapMethod(ANSWERS, 'single_label', (original, _, [row, { labels }, top]) =>
      original(row, { labels: [...labels.slice(1), labels[0]] }, top),
    ),
  scores_shifted_by_a_token: () =>
    wrapMethod(BundleHead.prototype, 'probabilities', (original, { labels }, [rows]) =>
      original(rows.map((/** @type {Float32Array} */ row) => createRotated(row, labels.length))),
    ),
  spans_off_by_one: () =>
    wrapMethod(Tokenizer.prototype, 'encodeWithTokens', (original) => {
      const encoding = original();
      for (const span of encoding.offsets) span[1] += 1;
      return encoding;
    }),
};

/** Installs one fault in this process. @param {string} name */
export function install(name) {
  if (!Object.hasOwn(FAULTS, name)) throw new Error(`there is no fault ${name}; known are ${Object.keys(FAULTS).join(', ')}`);
  FAULTS[name]();
}

/** The names of all faults. */
export const NAMES = Object.keys(FAULTS);

/** @param {number[]} scores */
function softmax(scores) {
  const powers = scores.map((score) => Math.exp(score - Math.max(...scores)));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
