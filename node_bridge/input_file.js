/**
 * Files that are read: regular ones alone. A pipe or a device would be waited for without end, or
 * never stop; what is read as a stream comes on stdin.
 */
import { closeSync, constants, createReadStream, fstatSync, openSync, readSync } from 'node:fs';

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
    if (code === 'ERR_INVALID_ARG_VALUE') throw new UserError(`got the path ${JSON.stringify(path)}, expected one without a zero byte`);
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
