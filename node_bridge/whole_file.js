/** Files that are there whole or not at all. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';

/**
 * Writes under a temporary name, `PATH.PID.partial`, then renames: a reader never sees half a file.
 *
 * @param {string} path
 * @param {Uint8Array[]} chunks
 */
export function writeWhole(path, chunks) {
  const growing = `${path}.${process.pid}.partial`;
  try {
    const file = openSync(growing, 'w');
    try {
      for (const chunk of chunks) {
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
