/**
 * The Node end of a side: reads requests as JSON lines on stdin and writes answers as JSON lines on
 * stdout, until stdin closes. The other end is side.py.
 */
import { createInterface } from 'node:readline';

/** @param {Record<string, (request: any) => unknown>} ops */
export async function serve(ops) {
  // Python writes JSON in ASCII, so the other line ends that readline knows cannot occur.
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
 * Collects garbage, then runs a pass again and again for at least `atLeast` seconds.
 *
 * @param {() => unknown} pass may return a promise
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
  // Not writeSync: after a library has used process.stdout, it would throw if the pipe is full.
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
