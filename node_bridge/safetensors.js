/**
 * Reads and writes safetensors files (an 8-byte little-endian header length, a JSON header, the
 * bytes): tensors cross between the runtimes in it because JSON would turn NaN into null.
 * Format: https://github.com/huggingface/safetensors#format
 */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';

import { UserError } from './errors.js';

const ARRAYS = /** @type {const} */ ({ F32: Float32Array, I32: Int32Array });

/**
 * @typedef {object} Tensor
 * @property {'F32' | 'I32'} dtype
 * @property {number[]} shape
 * @property {Float32Array | Int32Array} data row-major, as many elements as `shape` says
 */

/**
 * Writes under a temporary name, then renames: a reader never sees half a file.
 *
 * @param {string} path
 * @param {Record<string, Tensor>} tensors
 * @param {Record<string, string>} [metadata]
 */
export function writeSafetensors(path, tensors, metadata = {}) {
  /** @type {Record<string, unknown>} */
  const header = { __metadata__: metadata };
  const names = Object.keys(tensors).sort();
  let offset = 0;
  for (const name of names) {
    const { dtype, shape, data } = tensors[name];
    header[name] = { dtype, shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  let head = Buffer.from(JSON.stringify(header));
  head = Buffer.concat([head, Buffer.alloc((8 - (head.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));

  const growing = `${path}.${process.pid}.partial`;
  try {
    const file = openSync(growing, 'w');
    try {
      for (const chunk of [length, head, ...names.map((name) => bytesOf(tensors[name].data))]) {
        for (let done = 0; done < chunk.length; ) done += writeSync(file, chunk, done);
      }
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(growing, path);
  } catch (error) {
    rmSync(growing, { force: true });
    throw error;
  }
}

/**
 * @param {Uint8Array} bytes a whole file
 * @param {string} name what to call the file in an error
 * @returns {{tensors: Record<string, Tensor>, metadata: Record<string, string>}}
 * @throws {UserError} truncated, or of a dtype this program does not use
 */
export function readSafetensors(bytes, name = 'safetensors file') {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length < 8 ? Infinity : Number(view.getBigUint64(0, true));
  if (8 + length > bytes.length) throw new UserError(`${name} is cut off in its header`);
  const header = JSON.parse(Buffer.from(bytes.subarray(8, 8 + length)).toString('utf8'));
  const { __metadata__: metadata = {}, ...entries } = header;
  /** @type {Record<string, Tensor>} */
  const tensors = {};
  for (const [key, { dtype, shape, data_offsets: span }] of Object.entries(entries)) {
    const Array = ARRAYS[/** @type {'F32' | 'I32'} */ (dtype)];
    if (Array === undefined) {
      throw new UserError(`${name}: ${key} has dtype ${dtype}, expected F32 or I32`);
    }
    const [start, end] = span;
    const count = shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1);
    if (8 + length + end > bytes.length || end - start !== count * 4) {
      throw new UserError(`${name} is cut off: ${key} ends beyond the file or its shape`);
    }
    // A copy, since the file's bytes need not be aligned for a typed array.
    const slice = bytes.slice(8 + length + start, 8 + length + end);
    tensors[key] = { dtype, shape, data: new Array(slice.buffer, slice.byteOffset, count) };
  }
  return { tensors, metadata };
}

/** @param {Float32Array | Int32Array} data */
function bytesOf(data) {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
