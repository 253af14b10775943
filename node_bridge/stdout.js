/** Results on stdout, no faster than their reader takes them. */
import { once } from 'node:events';

/** @param {string} text */
export async function write(text) {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}
