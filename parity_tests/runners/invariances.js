/**
 * Computes what must be true for any weights: pairs of answers that must be equal, and answers to
 * unusual inputs, which Python computes too. invariances.py compares them.
 */
import { tf } from '../../node_bridge/backends/tfjs.js';

/**
 * @typedef {import('../../node_bridge/support/safetensors.js').Tensor} Tensor
 * @typedef {import('../../node_bridge/encoder/encoder.js').Encoder} Encoder
 * @typedef {import('../../node_bridge/encoder/encoder.js').Encoding} Encoding
 * @typedef {Record<string, {shape: number[], data: Int32Array}>} Batch
 * @typedef {Record<string, {shape: number[], data: Float32Array | Int32Array}>} Answers
 */

/** How many positions of padding are added to a batch. */
const EXTRA_POSITIONS = 3;

/**
 * @param {Encoder} encoder
 * @param {Encoding[]} encodings a few texts, one of them with at least one token
 * @returns {Promise<Record<string, Tensor>>} `pairs.b<text>.<claim>/<left or right>/<output>`, and
 *   `<variant>.b000.<output>` with the ids, mask and types of the variant
 */
export async function computeInvariances(encoder, encodings) {
  /** @type {Record<string, Tensor>} */
  const tensors = {};
  /** @param {string} front @param {Answers} answers */
  const put = (front, answers) => {
    for (const [name, { shape, data }] of Object.entries(answers)) {
      tensors[`${front}${name}`] = { dtype: data instanceof Int32Array ? 'I32' : 'F32', shape, data };
    }
  };
  const { inputs, padding, max_length: limit } = encoder.bundle.contract;
  // Without a mask, the outputs at padded positions have no defined value.
  const masked = padding === 'masked' && inputs.some(({ role }) => role === 'attention_mask');
  const batch = encoder.pad(encodings);
  const width = batch.input_ids.shape[1];
  const whole = await encoder.runBatch(batch);
  const tensorCount = tf.memory().numTensors;
  put('pairs.b000.repeated/left/', whole);
  put('pairs.b000.repeated/right/', await encoder.runBatch(batch));
  put('pairs.b000.tensors/left/', { count: createCount(tf.memory().numTensors) });
  put('pairs.b000.tensors/right/', { count: createCount(tensorCount) });
  put('pairs.b000.reordered/left/', await encoder.run(encodings.toReversed(), width));
  put('pairs.b000.reordered/right/', whole);
  // A text with all positions of the model cannot be padded; `alone` compares other widths too.
  if (masked && width + EXTRA_POSITIONS <= limit) {
    put('pairs.b000.padded/left/', await encoder.run(encodings, width + EXTRA_POSITIONS));
    put('pairs.b000.padded/right/', whole);
  }
  if (masked) {
    put('pairs.b000.masked/left/', await encoder.runBatch(changePadding(batch)));
    put('pairs.b000.masked/right/', whole);
    // A model that attends to padding answers differently without padding.
    for (const [index, encoding] of encodings.entries()) {
      put(`pairs.b${String(index).padStart(3, '0')}.alone/left/`, await encoder.run([encoding]));
    }
    put('pairs.b000.alone/right/', whole);
  }
  const unusual = makeVariants(batch);
  for (const { role } of inputs) {
    const [name, variant] = unusual[role] ?? [];
    if (name === undefined || variant === undefined) continue;
    put(`${name}.b000.`, { ...variant, ...(await encoder.runBatch(variant)) });
  }
  return tensors;
}

/** @param {number} tensors */
function createCount(tensors) {
  return { shape: [1], data: Int32Array.of(tensors) };
}

/** Another id wherever the mask is 0. @param {Batch} batch @returns {Batch} */
function changePadding({ input_ids: ids, attention_mask: mask, ...rest }) {
  const data = ids.data.map((id, i) => (mask.data[i] === 1 ? id : id + 1));
  return { input_ids: { shape: ids.shape, data }, attention_mask: mask, ...rest };
}

/**
 * Makes inputs that no tokenizer gives, to find inputs that are swapped or ignored. For the role of each
 * input: a name, and the batch in which this input is changed at the visible positions.
 *
 * @param {Batch} batch
 * @returns {Record<string, [string, Batch]>}
 */
function makeVariants({ input_ids: ids, attention_mask: mask, token_type_ids: types }) {
  const [, width] = ids.shape;
  const positionOf = (/** @type {number} */ i) => i % width;
  const second = types.data.map((_, i) => (mask.data[i] === 1 ? positionOf(i) % 2 : 0));
  const maskWithGaps = mask.data.map((shown, i) => (positionOf(i) % 3 === 2 ? 0 : shown));
  const reversed = ids.data.slice();
  for (let row = 0; row < ids.shape[0]; row += 1) {
    const from = row * width;
    const length = mask.data.subarray(from, from + width).reduce((sum, shown) => sum + shown, 0);
    reversed.subarray(from, from + length).reverse();
  }
  const toTensor = (/** @type {Int32Array} */ data) => ({ shape: ids.shape, data });
  return {
    token_type_ids: ['types', { input_ids: ids, attention_mask: mask, token_type_ids: toTensor(second) }],
    attention_mask: ['masked_inside', { input_ids: ids, attention_mask: toTensor(maskWithGaps), token_type_ids: types }],
    input_ids: ['reversed', { input_ids: toTensor(reversed), attention_mask: mask, token_type_ids: types }],
  };
}
