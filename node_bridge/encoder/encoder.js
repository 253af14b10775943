/**
 * Runs the model of a bundle: takes padded batches of ids, returns outputs by name.
 */
import { DEFAULT_BACKEND, useBackend } from '../backends/index.js';
import { tf } from '../backends/tfjs.js';
import { Bundle, findOutput } from '../bundle/bundle.js';
import { parseText } from '../data/text.js';
import { withLocation, UserError } from '../support/errors.js';
import { assertOptions } from '../support/option_names.js';
import { Tokenizer } from '../tokenizer/index.js';
import { parseLongRule } from '../tokenizer/long_rule.js';
import { encodeFeatures, TOKEN_BUDGET } from './features.js';
import { openModel } from './model.js';
import { assertOneVector, averageVectors, DEFAULT_POOLING, normalizeVector, parsePooling } from './pooling.js';

/** The largest fixed batch or length of a model; more would only waste memory. */
const MAX_AXIS = 2 ** 17;

/**
 * @typedef {import('../data/text.js').GivenText} GivenText
 * @typedef {import('../tokenizer/index.js').Encoding} Encoding
 * @typedef {{shape: number[], data: Int32Array}} IdTensor int32[batch, sequence]
 * @typedef {{shape: number[], data: Float32Array}} Output float32, shape as in the contract
 */

export class Encoder {
  #model;
  /** @type {Tokenizer | undefined} loaded when `encode` is first called */
  #tokenizer;

  /**
   * @private
   * @param {Bundle} bundle
   * @param {import('./model.js').Model} model
   * @param {{name: string, notice: string}} backend `notice`: a message for people
   */
  constructor(bundle, model, { name, notice }) {
    this.bundle = bundle;
    this.backend = name;
    this.notice = notice;
    this.#model = model;
  }

  /**
   * @param {string | Bundle} source a bundle, or its directory
   * @param {{backend?: string}} [options] `auto` (default), `native`, `wasm` or `cpu`
   * @returns {Promise<Encoder>}
   * @throws {UserError} it is no bundle or has no model, a file is damaged, or the backend is unknown
   * @throws {import('../support/errors.js').EnvironmentProblem} the native backend is missing
   */
  static async load(source, options = {}) {
    assertOptions('Encoder.load', options, ['backend']);
    const { backend = DEFAULT_BACKEND } = options;
    const bundle = typeof source === 'string' ? Bundle.open(source) : source;
    if (bundle.contract.contents === 'tokenizer') {
      throw new UserError(`${bundle.dir} is a bundle of a tokenizer alone: it has no model`);
    }
    const taken = await useBackend(backend);
    const { model, notice } = await openModel(bundle, taken);
    const notices = [taken.notice, notice].filter((text) => text !== '');
    return new Encoder(bundle, model, { name: taken.name, notice: notices.join('; ') });
  }

  /** The fixed number of positions of the model; undefined if it takes any number. */
  get fixedLength() {
    return findFixedSize(this.bundle, 1);
  }

  /** The fixed number of rows of the model; undefined if it takes any number. */
  get fixedBatch() {
    return findFixedSize(this.bundle, 0);
  }

  /** How many batches it takes at the same time. */
  get lanes() {
    return 1;
  }

  /** The kind of model that runs: the GraphModel, or the SavedModel that it was made from. */
  get kind() {
    return this.#model.kind;
  }

  /** Width of `sequence_output`. */
  get hidden() {
    return /** @type {number} */ (findOutput(this.bundle, 'sequence_output').shape[2]);
  }

  /**
   * Encodes texts or pairs as vectors, with [CLS] and [SEP]. By default the vectors are those of [CLS],
   * which a classifier uses.
   *
   * @example
   * const encoder = await Encoder.load('artifacts/bundle/albert_tiny');
   * const [first, second] = await encoder.encode(['这本书很好', '房间很小'], { pooling: 'mean', normalize: true });
   *
   * @param {readonly GivenText[]} texts
   * @param {object} [options]
   * @param {number} [options.maxLength] how many positions a text may take; by default all of the model
   * @param {'cut' | 'head-tail' | 'windows'} [options.long] what of a longer text is read: `cut` (default): its
   *   first positions; `head-tail`: a quarter of the positions from its start, the others from its end;
   *   `windows`: all of it, in windows that overlap, not with `sequence`
   * @param {number} [options.stride] of `windows`: tokens from the start of a window to the start of the next, by
   *   default half a window
   * @param {'mean' | 'max'} [options.windowPooling] of `windows`: each number of the vector is the mean (default) or
   *   the largest of those of the windows
   * @param {import('./pooling.js').PoolingName} [options.pooling] `cls` (default): position 0 of
   *   `sequence_output`; `mean`: the mean of `sequence_output` over the text's positions; `pooled`:
   *   `pooled_output`; `sequence`: all of `sequence_output`
   * @param {boolean} [options.normalize] divides each vector by its L2 norm; not with `sequence`
   * @returns {Promise<Float32Array[]>} float32[hidden] for each text, in order, or with `sequence`
   *   float32[positions, hidden]; equal texts share one
   * @throws {UserError} an element is not a text (names its index), an option has no such value, or the model
   *   has no such output
   * @throws {import('../support/errors.js').CheckFailed} a vector is not finite
   */
  async encode(texts, options = {}) {
    assertOptions('encode', options, ['maxLength', 'pooling', 'normalize', 'long', 'stride', 'windowPooling']);
    const { maxLength = this.bundle.contract.max_length, pooling = DEFAULT_POOLING, normalize = false } = options;
    const what = withLocation('pooling', () => parsePooling(pooling, normalize));
    const long = parseLongRule(options, maxLength);
    assertOneVector(long, what);
    this.#tokenizer ??= Tokenizer.fromBundle(this.bundle);
    const tools = { tokenizer: this.#tokenizer, encoder: this };
    const known = texts.map((text, i) => withLocation(`texts[${i}]`, () => parseText(text)));
    const vectors = await encodeFeatures(known, tools, { maxLength, long, pooling: what });
    if (normalize) new Set(vectors).forEach(normalizeVector);
    return vectors;
  }

  /**
   * Pads encodings to the longest, or to the fixed length of the model: with the id of [PAD], type 0,
   * and mask 0, or mask 1 if the model attends to padding.
   *
   * @param {Encoding[]} encodings at least one
   * @param {number} [width] pads to at least this number of positions
   * @returns {{input_ids: IdTensor, attention_mask: IdTensor, token_type_ids: IdTensor}}
   * @throws {UserError} an encoding is longer than the model's positions
   */
  pad(encodings, width = 1) {
    const { max_length: limit, padding, tokenizer } = this.bundle.contract;
    const longest = encodings.reduce((most, { ids }) => Math.max(most, ids.length), 0);
    if (longest > limit) {
      throw new UserError(`Expected at most ${limit} positions, got ${longest}; set \`maxLength\``, 'maxLength');
    }
    // A batch of empty texts gets one position, since TF.js cannot run a width of 0.
    const shape = [encodings.length, this.fixedLength ?? Math.max(longest, width)];
    const size = shape[0] * shape[1];
    const ids = new Int32Array(size).fill(tokenizer.special_tokens.pad.id);
    const mask = new Int32Array(size).fill(padding === 'attended' ? 1 : 0);
    const types = new Int32Array(size);
    encodings.forEach((encoding, row) => {
      const start = row * shape[1];
      ids.set(encoding.ids, start);
      types.set(encoding.typeIds, start);
      mask.fill(1, start, start + encoding.ids.length);
    });
    return {
      input_ids: { shape, data: ids },
      attention_mask: { shape, data: mask },
      token_type_ids: { shape, data: types },
    };
  }

  /**
   * @param {Encoding[]} encodings
   * @param {number} [width] see `pad`
   * @param {string[]} [names] nodes of `model.json`; by default the outputs of the contract
   * @returns {Promise<Record<string, Output>>} each by its name
   */
  async run(encodings, width, names) {
    return this.runBatch(this.pad(encodings, width), names);
  }

  /**
   * @param {Record<string, IdTensor>} batch `input_ids`, `attention_mask` and `token_type_ids`,
   *   as `pad` returns them
   * @param {string[]} [names] see `run`
   * @returns {Promise<Record<string, Output>>} each by its name
   */
  async runBatch(batch, names = this.bundle.contract.outputs.map(({ name }) => name)) {
    const outputs = this.#execute(batch, names);
    try {
      const read = outputs.map(async ({ shape }, i) => [
        names[i],
        { shape, data: /** @type {Float32Array} */ (await outputs[i].data()) },
      ]);
      return Object.fromEntries(await Promise.all(read));
    } finally {
      tf.dispose(outputs);
    }
  }

  /**
   * Position 0 of `sequence_output`, which a classifier uses. It is [CLS] if special tokens were added.
   *
   * @param {Encoding[]} encodings
   * @returns {Promise<Float32Array[]>} float32[hidden] for each encoding
   */
  async firstPosition(encodings) {
    const { hidden } = this;
    const first = tf.tidy(() => {
      const [sequence] = this.#execute(this.pad(encodings), [findOutput(this.bundle, 'sequence_output').name]);
      return tf.slice(sequence, [0, 0, 0], [-1, 1, -1]);
    });
    try {
      const data = /** @type {Float32Array} */ (await first.data());
      return encodings.map((_, row) => data.slice(row * hidden, (row + 1) * hidden));
    } finally {
      first.dispose();
    }
  }

  /**
   * The mean of `sequence_output` over the positions that are not padding, [CLS] and [SEP] included,
   * as in sentence-transformers; summed in float64.
   *
   * @param {Encoding[]} encodings each of at least one position
   * @returns {Promise<Float32Array[]>} float32[hidden] for each encoding
   */
  async means(encodings) {
    const { hidden } = this;
    return (await this.sequences(encodings)).map((sequence) => averageVectors(sequence, hidden));
  }

  /**
   * `pooled_output`.
   *
   * @param {Encoding[]} encodings
   * @returns {Promise<Float32Array[]>} float32[hidden] for each encoding
   */
  async pooled(encodings) {
    return this.rowsOf(encodings, findOutput(this.bundle, 'pooled_output').name);
  }

  /**
   * All vectors of `sequence_output`, without those of padding.
   *
   * @param {Encoding[]} encodings
   * @returns {Promise<Float32Array[]>} float32[sequence, hidden] for each encoding
   */
  async sequences(encodings) {
    return this.rowsOf(encodings, findOutput(this.bundle, 'sequence_output').name);
  }

  /**
   * The rows of one output. An output of rank 3 is [batch, sequence, width]: its rows have no positions of padding.
   *
   * @param {Encoding[]} encodings
   * @param {string} name of the output
   * @returns {Promise<Float32Array[]>} float32[width], or float32[sequence, width], for each encoding
   */
  async rowsOf(encodings, name) {
    const { [name]: output } = await this.runBatch(this.pad(encodings), [name]);
    const { shape, data } = output;
    const width = shape.slice(1).reduce((product, size) => product * size, 1);
    return encodings.map(({ ids }, row) => {
      const start = row * width;
      return data.slice(start, start + (shape.length === 3 ? ids.length * shape[2] : width));
    });
  }

  /** Frees the weights. */
  dispose() {
    this.#model.dispose();
  }

  /**
   * Runs a batch of any size. A model with a fixed batch gets pieces of that size; the last piece is
   * completed with copies of its last row, and their outputs are dropped. A model with a fixed length
   * gets pieces of at most TOKEN_BUDGET positions, since the caller counted positions before padding.
   *
   * @param {Record<string, IdTensor>} batch
   * @param {string[]} names
   * @returns {import('./model.js').Tensor[]} in the order of `names`
   */
  #execute(batch, names) {
    const { fixedBatch, fixedLength } = this;
    const [count] = batch.input_ids.shape;
    const most = fixedLength === undefined ? count : Math.max(1, Math.floor(TOKEN_BUDGET / fixedLength));
    const rows = fixedBatch ?? Math.min(count, most);
    if (count === rows) return tf.tidy(() => this.#runPiece(batch, names, 0, rows));
    return tf.tidy(() => {
      /** @type {import('./model.js').Tensor[][]} */
      const pieces = [];
      for (let from = 0; from < count; from += rows) {
        const real = Math.min(rows, count - from);
        pieces.push(
          tf.tidy(() => {
            const outputs = this.#runPiece(batch, names, from, fixedBatch ?? real);
            if (real === rows || fixedBatch === undefined) return outputs;
            // A tensor inside the model may have several rows for each text.
            return outputs.map((x) => tf.slice(x, 0, (x.shape[0] / rows) * real));
          }),
        );
      }
      return names.map((_, i) => (pieces.length === 1 ? pieces[0][i] : tf.concat(pieces.map((piece) => piece[i]))));
    });
  }

  /**
   * Runs some rows of a batch. After its end the last row is repeated.
   *
   * @param {Record<string, IdTensor>} batch
   * @param {string[]} names of the outputs
   * @param {number} from the first row
   * @param {number} rows how many rows the model gets
   */
  #runPiece(batch, names, from, rows) {
    const feeds = Object.fromEntries(
      this.bundle.contract.inputs.map(({ name, role }) => {
        const {
          data,
          shape: [count, width],
        } = batch[role];
        let piece = data.subarray(from * width, (from + rows) * width);
        if (from + rows > count) {
          const real = piece;
          piece = new Int32Array(rows * width);
          const last = real.subarray(real.length - width);
          for (let row = 0; row < rows; row += 1) piece.set(last, row * width);
          piece.set(real);
        }
        return [name, tf.tensor(piece, [rows, width], 'int32')];
      }),
    );
    return this.#model.run(feeds, names);
  }
}

/**
 * The fixed number of rows (axis 0) or positions (axis 1) of a model.
 *
 * @param {Bundle} bundle
 * @param {number} axis of the inputs' shapes
 * @returns {number | undefined} undefined if the model takes any number
 * @throws {UserError} the size is out of range
 */
export function findFixedSize({ contract }, axis) {
  const sizes = contract.inputs.map(({ shape }) => shape[axis]);
  const size = sizes.find((one) => typeof one === 'number');
  if (size !== undefined && !(Number.isInteger(size) && size >= 1 && size <= MAX_AXIS)) {
    throw new UserError(
      `the contract says that the model always takes ${size} ${axis === 0 ? 'rows' : 'positions'}, expected 1 to ${MAX_AXIS}`,
    );
  }
  return size;
}
