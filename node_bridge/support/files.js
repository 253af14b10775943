/**
 * Files that are read: regular ones alone. A pipe or a device would be waited for without end, or
 * never stop; what is read as a stream comes on stdin.
 */
import {
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';

import { UserError } from './errors.js';

/** Without a flag a pipe is opened only when somebody writes to it. */
const FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/**
 * @param {string} path
 * @returns {number} a descriptor
 * @throws {UserError} it is something else than a file
 * @throws {NodeJS.ErrnoException} it cannot be opened
 */
export function openInput(path) {
  let file;
  try {
    file = openSync(path, FLAGS);
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    if (code === 'ENXIO') throw new UserError(`${path} is a socket or a device, expected a file`);
    if (code === 'ERR_INVALID_ARG_VALUE')
      throw new UserError(`got the path ${JSON.stringify(path)}, expected one without a zero byte`);
    throw error;
  }
  const stats = fstatSync(file);
  if (stats.isFile()) return file;
  closeSync(file);
  const kind = stats.isDirectory() ? 'a directory' : stats.isFIFO() ? 'a pipe' : stats.isSocket() ? 'a socket' : 'a device';
  throw new UserError(`${path} is ${kind}, expected a file`);
}

/**
 * @param {string} path
 * @param {number} most bytes that such a file may have
 * @returns {Buffer} the whole file
 * @throws {UserError} it is something else than a file, or larger
 * @throws {NodeJS.ErrnoException} it cannot be opened
 */
export function readInput(path, most) {
  const file = openInput(path);
  try {
    const { size } = fstatSync(file);
    if (size > most) throw new UserError(`${path} has ${size} bytes, expected at most ${most}`);
    const bytes = Buffer.allocUnsafeSlow(size);
    let done = 0;
    for (let count = 1; done < size && count > 0; done += count) count = readSync(file, bytes, done, size - done, done);
    return bytes.subarray(0, done);
  } catch (error) {
    throw Object.assign(/** @type {Error} */ (error), { path });
  } finally {
    closeSync(file);
  }
}

/**
 * @param {string} path
 * @returns {import('node:fs').ReadStream}
 * @throws {UserError} it is something else than a file
 * @throws {NodeJS.ErrnoException} it cannot be opened
 */
export function streamInput(path) {
  return createReadStream(path, { fd: openInput(path), start: 0 });
}

// Files that are there whole or not at all.

/** A file that grows under a temporary name, `PATH.PID.partial`, until it is finished. */
export class AtomicFile {
  #path;
  #partial;
  /** @type {number | undefined} its descriptor while it grows */
  #file;

  /**
   * Begins the file: from here on it is known that the place can be written to.
   *
   * @param {string} path
   * @throws {NodeJS.ErrnoException} the system's own error, as of all other methods
   */
  constructor(path) {
    this.#path = path;
    this.#partial = `${path}.${process.pid}.partial`;
    this.#file = openSync(this.#partial, 'w');
  }

  /** Makes it this large; what is not written is 0. @param {number} size in bytes */
  resize(size) {
    this.#named(() => ftruncateSync(this.#descriptor, size));
  }

  /** @param {Uint8Array} bytes @param {number} position in the file */
  write(bytes, position) {
    this.#named(() => writeAll(this.#descriptor, bytes, position));
  }

  /** Puts it in its place: a reader never sees half a file. */
  finish() {
    this.#named(() => fsyncSync(this.#descriptor));
    this.#close();
    try {
      renameSync(this.#partial, this.#path);
    } catch (error) {
      rmSync(this.#partial, { force: true });
      throw error;
    }
  }

  /** Takes it away, unless it was finished. */
  discard() {
    if (this.#file === undefined) return;
    this.#close();
    rmSync(this.#partial, { force: true });
  }

  get #descriptor() {
    if (this.#file === undefined) throw new Error(`${this.#path} is no longer written to`);
    return this.#file;
  }

  #close() {
    closeSync(this.#descriptor);
    this.#file = undefined;
  }

  /** Errors of a descriptor name no file. @param {() => void} work */
  #named(work) {
    try {
      work();
    } catch (error) {
      throw Object.assign(/** @type {Error} */ (error), { path: this.#path });
    }
  }
}

/**
 * @param {number} file a descriptor
 * @param {Uint8Array} bytes all of which are written
 * @param {number} position in the file
 */
export function writeAll(file, bytes, position) {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(file, bytes, done, bytes.length - done, position + done);
  }
}

/**
 * Writes a file that is in memory.
 *
 * @param {string} path
 * @param {Uint8Array[]} chunks
 */
export function writeFileAtomically(path, chunks) {
  const file = new AtomicFile(path);
  try {
    let position = 0;
    for (const chunk of chunks) {
      file.write(chunk, position);
      position += chunk.length;
    }
    file.finish();
  } finally {
    file.discard();
  }
}

/**
 * Refuses a path that cannot become a file, before any work is done for it.
 *
 * @param {string} path as a person gave it
 * @param {string} example a name for a file in that place
 * @throws {UserError} a directory, a device, or a place in a directory that is not there
 */
export function assertFilePath(path, example) {
  const parent = dirname(resolve(path));
  if (!statSync(parent, { throwIfNoEntry: false })?.isDirectory()) {
    throw new UserError(`the directory ${parent} of ${path} is not there; make it first, or give another place`);
  }
  const stats = statSync(path, { throwIfNoEntry: false });
  if (path === '' || path.endsWith('/') || stats?.isDirectory()) {
    throw new UserError(`got the directory ${path || "''"}, expected a file to write, such as ${resolve(path, example)}`);
  }
  if (stats !== undefined && !stats.isFile()) {
    throw new UserError(`${path} is a device or a pipe, expected a file: it is written under another name, then renamed`);
  }
}

// Other processes of this machine.

/**
 * Whether a process of this number runs, so that what it has begun is not to be touched.
 *
 * @param {number} pid
 */
export function isRunning(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // A number that no process can have is as good as one that has ended.
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}
