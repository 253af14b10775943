/**
 * Writes the directory `--out`, whole or not at all.
 *
 * An earlier directory is replaced only if it lists its files and has no other file in it. Node
 * cannot swap two directories in one step, so there are two renames. A kill between them leaves no
 * `--out`, but the old directory is beside it under a name that the next run knows. Everything
 * happens in one turn of the event loop, so a handled signal never comes in the middle.
 */
import { existsSync, lstatSync, readdirSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

import { catchUserError, UserError } from './errors.js';
import { isRunning, makeDirectory } from './files.js';

/** After this time an unfinished directory is abandoned, whichever machine created it. */
const ABANDONED_MS = 24 * 3600 * 1000;

/**
 * @typedef {object} DirectoryKind a kind of directory that this program writes
 * @property {string} marker the file that every directory of this kind has
 * @property {(dir: string) => string[]} filesOf the names of all files that the directory lists as
 *   its own; throws a UserError if the list cannot be read
 */

/**
 * Writes `files` into a temporary directory beside `dir` and renames it to `dir`. An earlier `dir`
 * is removed.
 *
 * @param {string} dir a link to a directory stays a link
 * @param {Record<string, string | Uint8Array>} files content by name
 * @param {DirectoryKind} kind
 * @throws {UserError} `dir` has other files, or is a file
 */
export function writeDirectory(dir, files, kind) {
  const directory = resolveDirectory(dir);
  recoverInterruptedWrite(directory);
  assertOnlyListedFiles(dir, kind);
  const partial = createPartialDirectory(directory);
  const old = siblingPath(directory, 'old');
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(partial, name), content);
    // Again, since files may have appeared in the meantime.
    assertOnlyListedFiles(dir, kind);
    if (existsSync(directory)) renameSync(directory, old);
    try {
      renameSync(partial, directory);
    } catch (error) {
      if (existsSync(old)) renameSync(old, directory);
      throw error;
    }
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  rmSync(old, { recursive: true, force: true });
}

/**
 * Checks, before hours of work, that `writeDirectory` can write here. First repairs what a killed
 * run left behind.
 *
 * @param {string} dir
 * @param {DirectoryKind} kind
 * @throws {UserError} `dir` has other files, or is a file
 */
export function assertWritable(dir, kind) {
  const directory = resolveDirectory(dir);
  recoverInterruptedWrite(directory);
  assertOnlyListedFiles(dir, kind);
  rmSync(createPartialDirectory(directory), { recursive: true });
}

/** @param {string} dir */
function resolveDirectory(dir) {
  return existsSync(dir) ? realpathSync(dir) : resolve(dir);
}

/** Creates an empty temporary directory beside a directory. @param {string} directory @returns {string} */
function createPartialDirectory(directory) {
  const partial = siblingPath(directory, 'partial');
  rmSync(partial, { recursive: true, force: true });
  makeDirectory(partial);
  return partial;
}

/** A hidden path beside a directory; only this process uses it. @param {string} directory @param {'old' | 'partial'} end */
function siblingPath(directory, end) {
  return join(dirname(directory), `.${basename(directory)}.${process.pid}.${end}`);
}

/**
 * Refuses a directory that has a file which it does not list: nothing of the user's is removed.
 *
 * @param {string} dir
 * @param {DirectoryKind} kind
 * @throws {UserError} there is such a file; names one
 */
function assertOnlyListedFiles(dir, { marker, filesOf }) {
  const stats = statSync(dir, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (!stats.isDirectory()) throw new UserError(`${dir} is a file; expected a directory to write`);
  const names = readdirSync(dir);
  if (names.length === 0) return;
  if (!names.includes(marker)) {
    throw new UserError(`${dir} holds other things (${names[0]}) and no ${marker}; it is left alone, give another --out`);
  }
  const listed = catchUserError(() => filesOf(dir));
  if (listed instanceof UserError) {
    throw new UserError(
      `${dir} has a ${marker} that cannot be read, so nothing says what there is of this program ` +
        `(${listed.message}); move it away, or give another --out`,
    );
  }
  // A listed link is replaced, not its target.
  const other = names.find((name) => !listed.includes(name) || lstatSync(join(dir, name)).isDirectory());
  if (other === undefined) return;
  throw new UserError(
    `${dir} holds ${other}, which its ${marker} does not list, so that it may be yours; move it away, or give another --out`,
  );
}

/**
 * Repairs what a killed process left beside a directory: the old directory comes back if there is no
 * new one; unfinished directories are removed.
 *
 * @param {string} directory
 */
function recoverInterruptedWrite(directory) {
  const parent = dirname(directory);
  const start = `.${basename(directory)}.`;
  for (const name of existsSync(parent) ? readdirSync(parent).sort() : []) {
    const found = name.startsWith(start) ? /^(\d+)\.(old|partial)$/.exec(name.slice(start.length)) : null;
    const leftover = join(parent, name);
    if (found === null || isRunning(Number(found[1])) || !lstatSync(leftover).isDirectory()) continue;
    if (found[2] === 'old' && !existsSync(directory)) renameSync(leftover, directory);
    else if (found[2] === 'old' || Date.now() - lstatSync(leftover).mtimeMs > ABANDONED_MS)
      rmSync(leftover, { recursive: true, force: true });
  }
}
