import { createHash } from 'node:crypto';

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
