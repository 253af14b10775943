/** A safetensors file that is written row by row, in any order, so that nothing of it is held. */
import { ARRAYS, bytesOf, layOut } from './safetensors.js';
import { WholeFile } from './whole_file.js';

/**
 * @typedef {object} RowSpec a tensor of the file
 * @property {'F32' | 'I32'} dtype
 * @property {number[]} shape [rows, …]
 */

export class RowFile {
  #file;
  /** @type {Record<string, RowSpec>} */
  #specs = {};
  /** @type {Record<string, number>} first byte of each tensor */
  #starts = {};

  /**
   * Begins the file under a temporary name beside `path`.
   *
   * @param {string} path
   * @throws {NodeJS.ErrnoException} it cannot be written there
   */
  constructor(path) {
    this.#file = new WholeFile(path);
  }

  /**
   * Writes the header. All tensors are zeros then.
   *
   * @param {Record<string, RowSpec>} specs
   * @param {Record<string, string>} metadata
   */
  begin(specs, metadata) {
    const { head, starts, size } = layOut(specs, metadata);
    this.#specs = specs;
    this.#starts = starts;
    this.#file.resize(size);
    this.#file.write(head, 0);
  }

  /**
   * Writes what a row has of its own; the rest of the row stays 0.
   *
   * @param {string} name of the tensor
   * @param {number} row
   * @param {{shape: number[], data: ArrayLike<number>}} values row-major, of the tensor's rank less one
   * @param {number[]} [own] how many of each axis of `values` are written, from the first on
   */
  write(name, row, { shape, data }, own = shape) {
    const { dtype, shape: [, ...whole] } = this.#specs[name];
    const type = ARRAYS[dtype];
    const numbers = data instanceof type ? data : type.from(data);
    const start = row * sizeOf(whole);
    for (const { from, to, length } of runs(own, shape, whole)) {
      const bytes = bytesOf(numbers.subarray(from, from + length));
      this.#file.write(bytes, this.#starts[name] + (start + to) * type.BYTES_PER_ELEMENT);
    }
  }

  /** Puts the file in its place. */
  finish() {
    this.#file.finish();
  }

  /** Takes it away, unless it was finished. */
  discard() {
    this.#file.discard();
  }
}

/**
 * The pieces of `own` that lie in a row both in an array of the shape `source` and in one of the
 * shape `target`.
 *
 * @param {number[]} own at most as large as both in each axis
 * @param {number[]} source
 * @param {number[]} target
 * @returns {Generator<{from: number, to: number, length: number}>} places in both, in numbers
 */
function* runs(own, source, target) {
  if (own.length === 0) {
    yield { from: 0, to: 0, length: 1 };
    return;
  }
  const [count, ...inner] = own;
  const [within, without] = [source.slice(1), target.slice(1)];
  const [stride, step] = [sizeOf(within), sizeOf(without)];
  if (inner.every((size, axis) => size === within[axis] && size === without[axis])) {
    yield { from: 0, to: 0, length: count * stride };
    return;
  }
  for (let i = 0; i < count; i += 1) {
    for (const { from, to, length } of runs(inner, within, without)) {
      yield { from: i * stride + from, to: i * step + to, length };
    }
  }
}

/** @param {number[]} shape */
function sizeOf(shape) {
  return shape.reduce((product, size) => product * size, 1);
}
