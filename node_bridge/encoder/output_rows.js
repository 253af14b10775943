/**
 * Writes the results of encode.js: rows of the model's outputs, or one vector per text. The classes say
 * which tensors the file has, and write the rows of a batch.
 */
import { CheckFailed } from '../support/errors.js';
import { IntList } from '../support/int_list.js';
import { NUMBER_BYTES } from '../support/safetensors.js';
import { findFixedSize } from './encoder.js';
import { assertFinite, FIRST_POSITION, POOLINGS } from './features.js';
import { normalizeVector, WindowJoiner } from './pooling.js';

/**
 * @typedef {import('./encoder.js').Encoding} Encoding
 * @typedef {import('../support/safetensors.js').RowFile} RowFile
 * @typedef {Record<string, import('../support/safetensors.js').RowSpec>} RowSpecs
 * @typedef {{row: number, encoding: Encoding}} RowText `row`: its index among all texts
 */

/**
 * Writes the outputs of the model by name, `input_ids` and `attention_mask`. All rows are as wide as the
 * longest text; after the end of a text outputs are 0, ids are [PAD] and the mask is 0. The model gets
 * no padding, so a row does not depend on other texts. Only a model with a fixed length gets padding,
 * and its outputs for padding are written too.
 */
export class OutputRows {
  #outputs;
  #names;
  #fixedLength;
  #pad;
  #width = 0;
  metadata = {};
  /** Whether a text without positions is an error. */
  needPositions = false;

  /** @param {import('../bundle/bundle.js').Bundle} bundle @param {string[]} names of its outputs */
  constructor(bundle, names) {
    this.#names = names;
    this.#outputs = bundle.contract.outputs.filter(({ name }) => names.includes(name));
    this.#fixedLength = findFixedSize(bundle, 1);
    this.#pad = bundle.contract.tokenizer.special_tokens.pad.id;
  }

  /**
   * @param {number} count of texts
   * @param {number} width positions of a row
   * @returns {RowSpecs}
   */
  specs(count, width) {
    this.#width = width;
    const outputs = this.#outputs.map(({ name, dtype, shape }) => [
      name,
      { dtype: dtype === 'int32' ? 'I32' : 'F32', shape: [count, ...resolveShape(shape.slice(1), width)] },
    ]);
    const ids = { dtype: 'I32', shape: [count, width] };
    return { ...Object.fromEntries(outputs), input_ids: ids, attention_mask: ids };
  }

  /** The least disk space of the rows; padding may need none. @param {{count: number, positions: number}} texts */
  leastBytes({ count, positions }) {
    const outputs = this.#outputs.map(({ shape }) => {
      const inner = resolveShape(shape.slice(1), 1).reduce((product, size) => product * size, 1);
      return inner * (shape.slice(1).includes('sequence') ? positions : count);
    });
    return NUMBER_BYTES * outputs.reduce((sum, size) => sum + size, 2 * positions);
  }

  /**
   * @param {RowFile} file
   * @param {Pick<import('./encoder_pool.js').Encoders, 'run'>} encoder
   * @param {RowText[]} texts a batch; all have one length, unless the model has a fixed length
   * @throws {CheckFailed} an output is not finite, or has not the shape in the contract
   */
  async write(file, encoder, texts) {
    const answers = await encoder.run(
      texts.map(({ encoding }) => encoding),
      undefined,
      this.#names,
    );
    for (const { name, shape: whole } of this.#outputs) {
      const { shape, data } = answers[name];
      const inner = shape.slice(1);
      const width = this.#fixedLength ?? Math.max(1, texts[0].encoding.ids.length);
      const expected = [texts.length, ...resolveShape(whole.slice(1), width)];
      if (String(shape) !== String(expected)) {
        throw new CheckFailed(
          `${name}: got shape [${shape}], expected [${expected}] as the contract says; choose others by --outputs`,
        );
      }
      const size = data.length / texts.length;
      texts.forEach(({ row, encoding }, index) => {
        const own = resolveShape(whole.slice(1), encoding.ids.length);
        const values = data.subarray(index * size, (index + 1) * size);
        assertFinite(own.includes(0) ? [] : values, `stdin:${row + 1}, ${name}`);
        file.write(name, row, { shape: inner, data: values }, own);
      });
    }
    for (const {
      row,
      encoding: { ids },
    } of texts)
      this.#writeIds(file, row, ids);
  }

  /** @param {RowFile} file @param {number} row @param {Int32Array} ids */
  #writeIds(file, row, ids) {
    const padded = new Int32Array(this.#width).fill(this.#pad);
    padded.set(ids);
    file.write('input_ids', row, { shape: [this.#width], data: padded });
    file.write('attention_mask', row, { shape: [ids.length], data: new Int32Array(ids.length).fill(1) });
  }
}

/** Writes one vector per text, without ids. */
export class VectorRows {
  #tensor;
  #hidden;
  #output;
  #pooling;
  #normalize;
  /** See OutputRows. */
  needPositions = true;

  /**
   * @param {object} what
   * @param {string} what.tensor its name in the file
   * @param {number} what.hidden numbers of a vector
   * @param {string} [what.output] of the model whose rows are the vectors; else `pooling` makes them
   * @param {import('./features.js').Pooling} [what.pooling]
   * @param {boolean} what.normalize whether each vector is divided by its L2 norm
   * @param {Record<string, string>} what.metadata
   */
  constructor({ tensor, hidden, output, pooling = FIRST_POSITION, normalize, metadata }) {
    this.#tensor = tensor;
    this.#hidden = hidden;
    this.#output = output;
    this.#pooling = pooling;
    this.#normalize = normalize;
    this.metadata = metadata;
  }

  /** See OutputRows. @param {number} count @returns {RowSpecs} */
  specs(count) {
    return { [this.#tensor]: { dtype: 'F32', shape: [count, this.#hidden] } };
  }

  /** See OutputRows. @param {{count: number}} texts */
  leastBytes({ count }) {
    return NUMBER_BYTES * count * this.#hidden;
  }

  /**
   * See OutputRows.
   *
   * @param {RowFile} file
   * @param {import('./encoder_pool.js').Encoders} encoder
   * @param {RowText[]} texts a batch
   * @throws {CheckFailed} a vector is not finite
   */
  async write(file, encoder, texts) {
    const vectors = await this.encode(encoder, texts);
    texts.forEach(({ row }, index) => {
      assertFinite(vectors[index], `stdin:${row + 1}`);
      this.writeVector(file, row, vectors[index]);
    });
  }

  /** @protected @param {import('./encoder_pool.js').Encoders} encoder @param {RowText[]} texts */
  encode(encoder, texts) {
    const encodings = texts.map(({ encoding }) => encoding);
    return this.#output === undefined ? encoder[POOLINGS[this.#pooling]](encodings) : encoder.rowsOf(encodings, this.#output);
  }

  /** @protected @param {RowFile} file @param {number} row @param {Float32Array} data */
  writeVector(file, row, data) {
    if (this.#normalize) normalizeVector(data);
    file.write(this.#tensor, row, { shape: [this.#hidden], data });
  }
}

/** Writes one vector per text that is read in windows. The rows that come are windows of texts. */
export class WindowRows extends VectorRows {
  #counts = new IntList();
  #joiner;
  /** Vectors that came before their turn, by row. @type {Map<number, Float32Array>} */
  #early = new Map();
  /** The row that comes next, its text and its number in the text. */
  #row = 0;
  #text = 0;
  #window = 0;
  /** @type {RowFile | undefined} */
  #file;

  /**
   * @param {ConstructorParameters<typeof VectorRows>[0]} what
   * @param {import('./features.js').LongRule['pooling']} pooling what becomes of the vectors of a text's windows
   */
  constructor(what, pooling) {
    super(what);
    this.#joiner = new WindowJoiner(pooling, (text, vector) =>
      this.writeVector(/** @type {RowFile} */ (this.#file), text, vector),
    );
  }

  /** Adds the next text. @param {number} windows how many rows it has */
  addText(windows) {
    this.#counts.push([windows]);
  }

  /** See OutputRows. @override @returns {RowSpecs} */
  specs() {
    return super.specs(this.#counts.length);
  }

  /** See OutputRows. @override */
  leastBytes() {
    return super.leastBytes({ count: this.#counts.length });
  }

  /** See VectorRows. @override @param {RowFile} file @param {import('./encoder_pool.js').Encoders} encoder @param {RowText[]} windows */
  async write(file, encoder, windows) {
    this.#file = file;
    const vectors = await this.encode(encoder, windows);
    windows.forEach(({ row }, index) => this.#early.set(row, vectors[index]));
    for (let vector = this.#early.get(this.#row); vector !== undefined; vector = this.#early.get(this.#row)) {
      this.#early.delete(this.#row);
      this.#add(vector);
    }
  }

  /** @param {Float32Array} vector of the next row */
  #add(vector) {
    assertFinite(vector, `stdin:${this.#text + 1}`);
    const isLast = this.#window === this.#counts.at(this.#text) - 1;
    this.#joiner.add({ text: this.#text, window: this.#window, isLast }, vector);
    this.#row += 1;
    this.#text += Number(isLast);
    this.#window = isLast ? 0 : this.#window + 1;
  }
}

/** @param {(string | number)[]} shape @param {number} width size of an axis `sequence` @returns {number[]} */
function resolveShape(shape, width) {
  return shape.map((size) => (typeof size === 'number' ? size : width));
}
