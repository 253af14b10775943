/**
 * Puts a finished directory in the place of `--out`: whole or not at all, and only over our own.
 *
 * Only a directory that lists what it holds is ever replaced, and only if it holds nothing else.
 * Node cannot let two directories change places in one step, so there are two, and a kill between
 * them leaves no `--out`, but the old one beside it under a name that the next run knows. All of it
 * happens in one turn of the event loop, so a handled signal never falls into the middle.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

import { catchUserError, UserError } from './errors.js';
import { isRunning } from './files.js';

/** After so long a directory that was not finished is nobody's, on whatever machine it was begun. */
const ABANDONED_MS = 24 * 3600 * 1000;

/**
 * @typedef {object} DirectoryKind of directories that are written here
 * @property {string} marker the file by which such a directory is known
 * @property {(dir: string) => string[]} filesOf the names of all files that it lists as its own;
 *   throws a UserError where its list cannot be read
 */

/**
 * Puts `files` in a temporary sibling and renames it to `dir`, in the place of an earlier one.
 *
 * @param {string} dir a link to a directory stays a link
 * @param {Record<string, string | Uint8Array>} files content by name
 * @param {DirectoryKind} kind
 * @throws {UserError} `dir` holds something else
 */
export function writeDirectory(dir, files, kind) {
  const directory = resolveDirectory(dir);
  recoverInterruptedWrite(directory);
  assertOnlyListedFiles(dir, kind);
  const partial = createPartialDirectory(directory);
  const old = siblingPath(directory, 'old');
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(partial, name), content);
    // What has come there meanwhile.
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
 * Whether `writeDirectory` may and can write here, asked before hours of work. What a killed run
 * left is put right first.
 *
 * @param {string} dir
 * @param {DirectoryKind} kind
 * @throws {UserError} it may not
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

/** An empty sibling to fill. @param {string} directory */
function createPartialDirectory(directory) {
  const partial = siblingPath(directory, 'partial');
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  return partial;
}

/** A hidden name beside a directory that only this process uses. @param {string} directory @param {'old' | 'partial'} end */
function siblingPath(directory, end) {
  return join(dirname(directory), `.${basename(directory)}.${process.pid}.${end}`);
}

/**
 * Stops before a directory is replaced that holds anything but what it lists.
 *
 * @param {string} dir
 * @param {DirectoryKind} kind
 * @throws {UserError} it does; names one thing
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
  // A link that is listed is replaced, not what it leads to.
  const other = names.find((name) => !listed.includes(name) || lstatSync(join(dir, name)).isDirectory());
  if (other === undefined) return;
  throw new UserError(
    `${dir} holds ${other}, which its ${marker} does not list, so that it may be yours; move it away, or give another --out`,
  );
}

/**
 * Puts right what a killed process left beside a directory: an old one comes back where there is no
 * new one; what was not finished is removed.
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
