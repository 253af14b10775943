/**
 * Writes a directory whole or not at all. All of it happens in one turn of the event loop, so a
 * handled signal never falls into the middle.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

import { UserError } from './errors.js';

/**
 * Puts `files` in a temporary sibling and renames it to `dir`, in the place of an earlier one.
 *
 * @param {string} dir
 * @param {Record<string, string | Uint8Array>} files content by name
 * @param {string} marker the file by which a directory of this kind is known
 * @throws {UserError} `dir` holds something else
 */
export function writeDirectory(dir, files, marker) {
  const { fresh, old } = makeSibling(dir, marker);
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(fresh, name), content);
    if (existsSync(dir)) renameSync(dir, old);
    try {
      renameSync(fresh, dir);
    } catch (error) {
      if (existsSync(old)) renameSync(old, dir);
      throw error;
    }
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  rmSync(old, { recursive: true, force: true });
}

/**
 * Whether `writeDirectory` may and can write here, asked before hours of work.
 *
 * @param {string} dir
 * @param {string} marker
 */
export function assertWritable(dir, marker) {
  rmSync(makeSibling(dir, marker).fresh, { recursive: true });
}

/** @param {string} dir @param {string} marker */
function makeSibling(dir, marker) {
  if (existsSync(dir)) {
    if (!statSync(dir).isDirectory()) throw new UserError(`${dir} is a file; expected a directory to write`);
    const names = readdirSync(dir);
    if (names.length > 0 && !names.includes(marker)) {
      throw new UserError(
        `${dir} holds other things (${names[0]}) and no ${marker}; it is left alone, give another --out`,
      );
    }
  }
  const parent = dirname(resolve(dir));
  const name = `.${basename(resolve(dir))}.${process.pid}`;
  const fresh = join(parent, `${name}.new`);
  mkdirSync(parent, { recursive: true });
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh);
  return { fresh, old: join(parent, `${name}.old`) };
}
