/**
 * Reads and writes files. Only regular files are read: a pipe or a device may block or never end.
 * Streams come on stdin.
 */
import {
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, relative, resolve } from 'node:path';

import { UserError } from './errors.js';

/** Without O_NONBLOCK, opening a pipe waits until somebody writes to it. */
const FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/**
 * @param {string} path
 * @returns {number} a file descriptor
 * @throws {UserError} it is not a regular file
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
 * @param {number} most the largest size that is allowed, in bytes
 * @returns {Buffer} the whole file
 * @throws {UserError} it is not a regular file, or it is larger
 * @throws {NodeJS.ErrnoException} it cannot be opened
 */
export function readInput(path, most) {
  const file = openInput(path);
  try {
    const { size } = fstatSync(file);
    if (size > most) throw new UserError(`${path} has ${size} bytes, expected at most ${most}`);
    const bytes = Buffer.allocUnsafeSlow(size);
    return bytes.subarray(0, readAll(file, bytes, 0));
  } catch (error) {
    throw Object.assign(/** @type {Error} */ (error), { path });
  } finally {
    closeSync(file);
  }
}

/**
 * @param {number} file a descriptor
 * @param {Uint8Array} bytes receives what the file has, as far as it goes
 * @param {number | null} position in the file; null: where the last reading ended
 * @returns {number} how many bytes were read: less than asked for if the file ends early
 */
export function readAll(file, bytes, position) {
  let done = 0;
  for (let count = 1; done < bytes.length && count > 0; done += count) {
    count = readSync(file, bytes, done, bytes.length - done, position === null ? null : position + done);
  }
  return done;
}

/**
 * @param {string} path
 * @returns {import('node:fs').ReadStream}
 * @throws {UserError} it is not a regular file
 * @throws {NodeJS.ErrnoException} it cannot be opened
 */
export function streamInput(path) {
  return createReadStream(path, { fd: openInput(path), start: 0 });
}

/** A path as the user would type it here. @param {string} path */
export function shortenPath(path) {
  const near = relative('', path);
  return near === '' || near.startsWith('..') ? resolve(path) : near;
}

// Writing: a file appears whole or not at all.

/**
 * Makes a directory and those above it that are missing. Node's own `recursive` never ends where the system says
 * that there is no such place, as in /proc: Node 20 tries again and again.
 *
 * @param {string} path of a directory that may be there already
 * @throws {NodeJS.ErrnoException} one of them cannot be made
 */
export function makeDirectory(path) {
  const directory = resolve(path);
  if (isDirectory(directory)) return;
  if (dirname(directory) !== directory) makeDirectory(dirname(directory));
  try {
    mkdirSync(directory);
  } catch (error) {
    // Another process may have made it in the meantime.
    if (!isDirectory(directory)) throw error;
  }
}

/** @param {string} path */
function isDirectory(path) {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** The name under which this process writes a file until it is finished. @param {string} path */
export function partialPath(path) {
  return `${path}.${process.pid}.partial`;
}

/** Whether a name is that of an unfinished file whose process has ended. @param {string} name */
export function isAbandoned(name) {
  const pid = /\.(\d+)\.partial$/.exec(name)?.[1];
  return pid !== undefined && !isRunning(Number(pid));
}

/** A file that is written under a temporary name beside its own, and renamed at the end. */
export class AtomicFile {
  #path;
  #partial;
  /** @type {number | undefined} its descriptor while it is open */
  #file;

  /**
   * Opens the temporary file, so that an error of the path comes before any work.
   *
   * @param {string} path
   * @throws {NodeJS.ErrnoException} the system's own error; all other methods throw it too
   */
  constructor(path) {
    this.#path = path;
    this.#partial = partialPath(path);
    this.#file = openSync(this.#partial, 'w');
  }

  /** Sets the size of the file; bytes that are not written are 0. @param {number} size in bytes */
  resize(size) {
    this.#named(() => ftruncateSync(this.#descriptor, size));
  }

  /** @param {Uint8Array} bytes @param {number} position in the file */
  write(bytes, position) {
    this.#named(() => writeAll(this.#descriptor, bytes, position));
  }

  /** Renames the file to its path: a reader never sees half a file. */
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

  /** Removes the file, unless it is finished. */
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

  /** Adds the path to an error: errors of a descriptor name no file. @param {() => void} work */
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
 * @param {Uint8Array} bytes all of them are written
 * @param {number} position in the file
 */
export function writeAll(file, bytes, position) {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(file, bytes, done, bytes.length - done, position + done);
  }
}

/**
 * Writes a file, whole or not at all.
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
 * Refuses a path that cannot become a file, before any work is done.
 *
 * @param {string} path as the user typed it
 * @param {string} example the name of such a file, for the message
 * @throws {UserError} it is a directory or a device, or its directory does not exist
 */
export function assertFilePath(path, example) {
  const parent = dirname(resolve(path));
  if (!isDirectory(parent)) {
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

/**
 * Whether a process with this number runs. The temporary files of a running process must stay.
 *
 * @param {number} pid
 */
export function isRunning(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // For a number that no process can have the answer is false too.
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}
