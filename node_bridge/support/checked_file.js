/**
 * A file of a bundle, checked while it is read from start to end: the size before the first byte,
 * the sha256 after the last byte. Use nothing of what was read before the last byte is checked.
 */
import { createHash } from 'node:crypto';
import { closeSync, fstatSync } from 'node:fs';
import { basename, join } from 'node:path';

import { UserError } from './errors.js';
import { openInput, readAll } from './files.js';

const CLOSED = -1;
/** How many bytes of a file are read at a time where it is not needed whole. */
export const CHUNK_BYTES = 2 ** 20;

export class BundleFile {
  #path;
  #sha256;
  #file;
  #hash = createHash('sha256');

  /**
   * @param {string} dir the bundle
   * @param {string} name
   * @param {{sha256: string, size: number}} expected what the contract says of the file
   * @throws {UserError} the file is missing or has another size
   */
  constructor(dir, name, { sha256, size }) {
    this.#path = join(dir, name);
    this.#sha256 = sha256;
    this.#file = openOrRefuse(dir, name);
    /** How many bytes are left to read. */
    this.remaining = size;
    const { size: got } = fstatSync(this.#file);
    if (got !== size) this.#refuse(`${got} bytes`, size);
    if (size === 0) this.#finish();
  }

  /**
   * Reads the next bytes of the file into an array.
   *
   * @param {Uint8Array} bytes receives them; not longer than `remaining`
   * @throws {UserError} the file ends early, or these were its last bytes and its sha256 is wrong
   */
  readInto(bytes) {
    if (bytes.length === 0) return;
    const done = readAll(this.#file, bytes, null);
    if (done < bytes.length) this.#refuse('been cut off while it was read', `${this.remaining - done} more bytes`);
    this.#hash.update(bytes);
    this.remaining -= bytes.length;
    if (this.remaining === 0) this.#finish();
  }

  /** Closes the file. Call it when the file is not read to its end. */
  close() {
    if (this.#file !== CLOSED) closeSync(this.#file);
    this.#file = CLOSED;
  }

  #finish() {
    this.close();
    const got = this.#hash.digest('hex');
    if (got !== this.#sha256) this.#refuse(`sha256 ${got}`, this.#sha256);
  }

  /** @param {string} got @param {string | number} expected @returns {never} */
  #refuse(got, expected) {
    this.close();
    throw new UserError(`${this.#path} has ${got}, expected ${expected}; the bundle is damaged, export or copy it again`);
  }
}

/** Whether an error says that there is nothing at a path. @param {unknown} error from opening it */
export function isNotFoundError(error) {
  const { code } = /** @type {NodeJS.ErrnoException} */ (error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** @param {string} dir @param {string} name */
function openOrRefuse(dir, name) {
  try {
    return openInput(join(dir, name));
  } catch (error) {
    if (!isNotFoundError(error)) throw error;
    throw new UserError(`${join(dir, name)} is missing from bundle ${basename(dir)}; export or copy it again`);
  }
}
