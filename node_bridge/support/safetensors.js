/**
 * Reads and writes safetensors files: an 8-byte little-endian header length, a JSON header, the bytes
 * of the tensors. Tensors go from Python to Node in this format, since JSON would make NaN null.
 * Own code: the format's authors have no JavaScript library, and a file of vectors that is larger than
 * memory is written row by row.
 * Format: https://github.com/huggingface/safetensors#format
 */
import { UserError } from './errors.js';
import { AtomicFile, writeFileAtomically } from './files.js';
import { isObject, parseJson } from './json.js';

/** The array type for each dtype. */
const ARRAY_TYPES = /** @type {const} */ ({ F32: Float32Array, I32: Int32Array });

/** Bytes of a number of either dtype. */
export const NUMBER_BYTES = 4;
/** The longest header in bytes; the format's own library has the same limit. */
const LONGEST_HEADER = 100_000_000;

/**
 * @typedef {{dtype: keyof typeof ARRAY_TYPES, shape: number[], start: number, end: number}} Entry bytes
 *   from `start` to before `end`
 *
 * @typedef {object} Tensor
 * @property {'F32' | 'I32'} dtype
 * @property {number[]} shape
 * @property {Float32Array | Int32Array} data row-major, as many elements as `shape` says
 */

/**
 * @param {string} path written whole or not at all
 * @param {Record<string, Tensor>} tensors
 * @param {Record<string, string>} [metadata]
 */
export function writeSafetensors(path, tensors, metadata = {}) {
  writeFileAtomically(path, encodeSafetensors(tensors, metadata));
}

/**
 * The bytes of a file in pieces. The memory of the tensors is not copied.
 *
 * @param {Record<string, Tensor>} tensors
 * @param {Record<string, string>} [metadata]
 * @returns {Uint8Array[]} tensors in the order of their names
 */
export function encodeSafetensors(tensors, metadata = {}) {
  const { head } = planFile(tensors, metadata);
  return [
    head,
    ...Object.keys(tensors)
      .sort()
      .map((name) => asBytes(tensors[name].data)),
  ];
}

/**
 * Plans a file: the bytes of its header, and where each tensor begins.
 *
 * @param {Record<string, {dtype: keyof typeof ARRAY_TYPES, shape: number[]}>} specs
 * @param {Record<string, string>} [metadata]
 * @returns {{head: Uint8Array, starts: Record<string, number>, size: number}} `starts`: the first
 *   byte of each tensor; `size` of the file, in bytes
 */
function planFile(specs, metadata = {}) {
  /** @type {Record<string, unknown>} */
  const header = { __metadata__: metadata };
  /** @type {[string, number][]} */
  const offsets = [];
  let offset = 0;
  for (const name of Object.keys(specs).sort()) {
    const { dtype, shape } = specs[name];
    const end = offset + shape.reduce((product, size) => product * size, ARRAY_TYPES[dtype].BYTES_PER_ELEMENT);
    header[name] = { dtype, shape, data_offsets: [offset, end] };
    offsets.push([name, offset]);
    offset = end;
  }
  const text = Buffer.from(JSON.stringify(header));
  const head = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ');
  head.writeBigUInt64LE(BigInt(head.length - 8));
  head.set(text, 8);
  const starts = Object.fromEntries(offsets.map(([name, from]) => [name, head.length + from]));
  return { head, starts, size: head.length + offset };
}

/**
 * @param {Uint8Array} bytes a whole file
 * @param {string} name what to call the file in an error
 * @returns {{tensors: Record<string, Tensor>, metadata: Record<string, string>}}
 * @throws {UserError} see `readSafetensorsHeader`
 */
export function readSafetensors(bytes, name = 'safetensors file') {
  const { entries, metadata } = readSafetensorsHeader(bytes, name);
  const tensors = Object.entries(entries).map(([key, { dtype, shape, start, end }]) => {
    // A copy, since the bytes may not be aligned for a typed array. `slice` of a Buffer does not copy.
    const slice = Uint8Array.prototype.slice.call(bytes, start, end);
    return [key, { dtype, shape, data: new ARRAY_TYPES[dtype](slice.buffer, slice.byteOffset, (end - start) / NUMBER_BYTES) }];
  });
  return { tensors: Object.fromEntries(tensors), metadata };
}

/**
 * Reads where each tensor lies in a file.
 *
 * @param {Uint8Array} bytes a whole file
 * @param {string} name what to call the file in an error
 * @returns {{entries: Record<string, Entry>, metadata: Record<string, string>}}
 * @throws {UserError} the file breaks the format: its header is cut off, larger than 100 MB or no JSON
 *   object; metadata are not strings; tensors overlap, leave gaps or do not end where the file ends; or
 *   a dtype is not F32 or I32
 */
export function readSafetensorsHeader(bytes, name) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length < 8 ? -1n : view.getBigUint64(0, true);
  if (length < 0n || length > BigInt(bytes.length - 8)) throw new UserError(`${name} is cut off in its header`);
  if (length > LONGEST_HEADER) throw new UserError(`${name} has a header of ${length} bytes, expected at most ${LONGEST_HEADER}`);
  const from = 8 + Number(length);
  const header = parseJson(bytes.subarray(8, from), `${name}, its header`);
  if (!isObject(header)) throw new UserError(`${name} has a header that is no JSON object`);
  const { __metadata__: metadata = {}, ...specs } = header;
  if (!isObject(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    throw new UserError(`${name}: __metadata__ holds something else than strings`);
  }
  const entries = Object.entries(specs).map(
    ([key, spec]) => /** @type {[string, Entry]} */ ([key, parseEntry(key, spec, from, name)]),
  );
  let at = from;
  for (const [key, { start, end }] of entries.toSorted(([, a], [, b]) => a.start - b.start || a.end - b.end)) {
    if (start !== at)
      throw new UserError(`${name}: ${key} begins at byte ${start}, expected ${at}, where the tensor before it ends`);
    at = end;
  }
  if (at !== bytes.length)
    throw new UserError(`${name} has ${bytes.length} bytes, expected ${at} as its tensors say: it is cut off, or has more in it`);
  return { entries: Object.fromEntries(entries), metadata };
}

/**
 * @param {string} key the name of the tensor
 * @param {unknown} spec its entry in the header
 * @param {number} from the first byte after the header
 * @param {string} name of the file
 * @returns {Entry}
 */
function parseEntry(key, spec, from, name) {
  const { dtype, shape, data_offsets: span } = isObject(spec) ? spec : /** @type {Record<string, any>} */ ({});
  if (typeof dtype !== 'string' || !Object.hasOwn(ARRAY_TYPES, dtype)) {
    throw new UserError(`${name}: ${key} has dtype ${JSON.stringify(dtype)}, expected F32 or I32`);
  }
  const isNatural = (/** @type {unknown} */ value) => Number.isSafeInteger(value) && /** @type {number} */ (value) >= 0;
  if (!Array.isArray(shape) || !shape.every(isNatural))
    throw new UserError(`${name}: ${key} has a shape that is no list of sizes`);
  if (!Array.isArray(span) || span.length !== 2 || !span.every(isNatural)) {
    throw new UserError(`${name}: ${key} has data_offsets that are not two offsets`);
  }
  const size = shape.reduce((product, length) => product * length, NUMBER_BYTES);
  if (span[1] - span[0] !== size) {
    throw new UserError(
      `${name}: ${key} has ${span[1] - span[0]} bytes, expected ${size} as its shape [${shape.slice(0, 8)}] says`,
    );
  }
  return { dtype: /** @type {keyof typeof ARRAY_TYPES} */ (dtype), shape, start: from + span[0], end: from + span[1] };
}

/** The bytes of an array; the same memory. @param {ArrayBufferView} data */
export function asBytes(data) {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * @typedef {object} RowSpec a tensor of a RowFile
 * @property {'F32' | 'I32'} dtype
 * @property {number[]} shape [rows, …]
 */

/** A safetensors file that is written row by row, in any order; no row stays in memory. */
export class RowFile {
  #file;
  /** @type {Record<string, RowSpec>} */
  #specs = {};
  /** @type {Record<string, number>} first byte of each tensor */
  #starts = {};

  /**
   * Opens the file under a temporary name beside `path`.
   *
   * @param {string} path
   * @throws {NodeJS.ErrnoException} the path cannot be written
   */
  constructor(path) {
    this.#file = new AtomicFile(path);
  }

  /**
   * Writes the header. All tensors are zeros after that.
   *
   * @param {Record<string, RowSpec>} specs
   * @param {Record<string, string>} metadata
   */
  begin(specs, metadata) {
    const { head, starts, size } = planFile(specs, metadata);
    this.#specs = specs;
    this.#starts = starts;
    this.#file.resize(size);
    this.#file.write(head, 0);
  }

  /**
   * Writes a part of a row; the rest of the row stays 0.
   *
   * @param {string} name of the tensor
   * @param {number} row its index
   * @param {{shape: number[], data: ArrayLike<number>}} values row-major, of the tensor's rank less one
   * @param {number[]} [own] how many elements of each axis of `values` are written, from the first on
   */
  write(name, row, { shape, data }, own = shape) {
    const {
      dtype,
      shape: [, ...whole],
    } = this.#specs[name];
    const type = ARRAY_TYPES[dtype];
    const numbers = data instanceof type ? data : type.from(data);
    const start = row * countElements(whole);
    for (const { from, to, length } of contiguousRuns(own, shape, whole)) {
      const bytes = asBytes(numbers.subarray(from, from + length));
      this.#file.write(bytes, this.#starts[name] + (start + to) * type.BYTES_PER_ELEMENT);
    }
  }

  /** Renames the file to its path. */
  finish() {
    this.#file.finish();
  }

  /** Removes the file, unless it is finished. */
  discard() {
    this.#file.discard();
  }
}

/**
 * Splits the block `own` into runs that are contiguous in an array of shape `source` and in one of
 * shape `target`.
 *
 * @param {number[]} own at most as large as both in each axis
 * @param {number[]} source
 * @param {number[]} target
 * @returns {Generator<{from: number, to: number, length: number}>} `from`: index in the source,
 *   `to`: index in the target
 */
function* contiguousRuns(own, source, target) {
  if (own.length === 0) {
    yield { from: 0, to: 0, length: 1 };
    return;
  }
  const [count, ...inner] = own;
  const [within, without] = [source.slice(1), target.slice(1)];
  const [stride, step] = [countElements(within), countElements(without)];
  if (inner.every((size, axis) => size === within[axis] && size === without[axis])) {
    yield { from: 0, to: 0, length: count * stride };
    return;
  }
  for (let i = 0; i < count; i += 1) {
    for (const { from, to, length } of contiguousRuns(inner, within, without)) {
      yield { from: i * stride + from, to: i * step + to, length };
    }
  }
}

/** @param {number[]} shape */
function countElements(shape) {
  return shape.reduce((product, size) => product * size, 1);
}
