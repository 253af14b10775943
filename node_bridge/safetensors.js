/**
 * Reads and writes safetensors files (an 8-byte little-endian header length, a JSON header, the
 * bytes): tensors cross between the runtimes in it because JSON would turn NaN into null.
 * Format: https://github.com/huggingface/safetensors#format
 */
import { UserError } from './errors.js';
import { parseJson } from './schemas.js';
import { writeWhole } from './whole_file.js';

/** The array that holds a dtype's numbers. */
export const ARRAYS = /** @type {const} */ ({ F32: Float32Array, I32: Int32Array });

/**
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
  writeWhole(path, encodeSafetensors(tensors, metadata));
}

/**
 * The bytes of a file, in pieces: the tensors' own memory is not copied.
 *
 * @param {Record<string, Tensor>} tensors
 * @param {Record<string, string>} [metadata]
 * @returns {Uint8Array[]} tensors in the order of their names
 */
export function encodeSafetensors(tensors, metadata = {}) {
  const { head } = layOut(tensors, metadata);
  return [head, ...Object.keys(tensors).sort().map((name) => bytesOf(tensors[name].data))];
}

/**
 * What a file begins with, and where its tensors lie.
 *
 * @param {Record<string, {dtype: keyof typeof ARRAYS, shape: number[]}>} specs
 * @param {Record<string, string>} [metadata]
 * @returns {{head: Uint8Array, starts: Record<string, number>, size: number}} `starts`: the first
 *   byte of each tensor; `size` of the file, in bytes
 */
export function layOut(specs, metadata = {}) {
  /** @type {Record<string, unknown>} */
  const header = { __metadata__: metadata };
  /** @type {[string, number][]} */
  const offsets = [];
  let offset = 0;
  for (const name of Object.keys(specs).sort()) {
    const { dtype, shape } = specs[name];
    const end = offset + shape.reduce((product, size) => product * size, ARRAYS[dtype].BYTES_PER_ELEMENT);
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
 * @throws {UserError} truncated, or of a dtype this program does not use
 */
export function readSafetensors(bytes, name = 'safetensors file') {
  const { entries, metadata } = readSafetensorsHeader(bytes, name);
  /** @type {Record<string, Tensor>} */
  const tensors = {};
  for (const [key, { dtype, shape, start, end }] of Object.entries(entries)) {
    // A copy, since the file's bytes need not be aligned for a typed array.
    const slice = bytes.slice(start, end);
    tensors[key] = { dtype, shape, data: new ARRAYS[dtype](slice.buffer, slice.byteOffset, (end - start) / 4) };
  }
  return { tensors, metadata };
}

/**
 * Where each tensor lies in a file.
 *
 * @param {Uint8Array} bytes a whole file
 * @param {string} name what to call the file in an error
 * @returns {{entries: Record<string, {dtype: 'F32' | 'I32', shape: number[], start: number,
 *   end: number}>, metadata: Record<string, string>}} bytes from `start` to before `end`
 * @throws {UserError} truncated, or of a dtype this program does not use
 */
export function readSafetensorsHeader(bytes, name) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length < 8 ? Infinity : Number(view.getBigUint64(0, true));
  const from = 8 + length;
  if (from > bytes.length) throw new UserError(`${name} is cut off in its header`);
  const header = parseJson(bytes.subarray(8, from), `the header of ${name}`);
  /** @type {Record<string, unknown>} */
  const { __metadata__: metadata = {}, ...specs } = isObject(header) ? header : { header };
  if (!isObject(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    throw new UserError(`${name}: got metadata that are no strings by name, expected those`);
  }
  const entries = Object.entries(specs).map(([key, spec]) => {
    const { dtype, shape, data_offsets: span } = isObject(spec) ? spec : {};
    if (typeof dtype !== 'string' || !Object.hasOwn(ARRAYS, dtype)) {
      throw new UserError(`${name}: ${key} has dtype ${JSON.stringify(dtype)}, expected F32 or I32`);
    }
    if (!isSizes(shape) || !isSizes(span) || span.length !== 2) {
      throw new UserError(`${name}: ${key} has no shape or no place that is one, expected whole numbers from 0 on`);
    }
    const [start, end] = [from + span[0], from + span[1]];
    const count = shape.reduce((product, size) => product * size, 1);
    if (end > bytes.length || end - start !== count * 4) {
      throw new UserError(`${name} is cut off: ${key} ends beyond the file or its shape`);
    }
    return [key, { dtype, shape, start, end }];
  });
  return { entries: Object.fromEntries(entries), metadata: /** @type {Record<string, string>} */ (metadata) };
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @param {unknown} value @returns {value is number[]} */
function isSizes(value) {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** The same memory. @param {Float32Array | Int32Array} data */
export function bytesOf(data) {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
