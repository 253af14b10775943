import { createHash } from 'node:crypto';

import { streamInput } from './files.js';

/**
 * The sha256 of parts that follow each other.
 *
 * @param {...(Uint8Array | string)} parts a string counts as UTF-8
 * @returns {string} 64 hexadecimal digits
 */
export function sha256(...parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

/**
 * The sha256 of a file, which may be larger than memory.
 *
 * @param {string} path
 * @returns {Promise<string>} 64 hexadecimal digits
 */
export async function hashFile(path) {
  const hash = createHash('sha256');
  for await (const chunk of streamInput(path)) hash.update(chunk);
  return hash.digest('hex');
}
