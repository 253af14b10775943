/**
 * The Node end of a side: a JSON line on stdin asks, a JSON line on stdout answers, until stdin
 * closes. The other end is side.py.
 */
import { createInterface } from 'node:readline';

/** @param {Record<string, (request: any) => unknown>} ops */
export async function serve(ops) {
  // JSON as Python writes it is ASCII, so readline's own idea of a line end does no harm.
  for await (const line of createInterface({ input: process.stdin })) {
    const { op, ...request } = JSON.parse(line);
    try {
      respond({ answer: (await ops[op](request)) ?? null });
    } catch (error) {
      respond({ error: String(/** @type {Error} */ (error).message) });
    }
  }
}

/**
 * Runs a pass again and again until `atLeast` seconds are over, garbage of earlier ones away.
 *
 * @param {() => unknown} pass may give a promise
 * @param {number} atLeast
 * @returns {Promise<number>} seconds for one pass
 */
export async function measurePass(pass, atLeast) {
  globalThis.gc?.();
  const start = performance.now();
  for (let passes = 1; ; passes++) {
    await pass();
    const seconds = (performance.now() - start) / 1000;
    if (seconds >= atLeast) return seconds / passes;
  }
}

/** @param {object} answer */
function respond(answer) {
  // Not writeSync: once a library has touched process.stdout, a full pipe would make it throw.
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
