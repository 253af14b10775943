/**
 * The clients: each of some connections posts one text after the other, as soon as it has its answer. One more
 * connection asks for /health every 20 ms.
 */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { text as readAll } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

import { serve } from '../serve.js';

/**
 * @param {Agent} agent @param {number} port @param {string} [body] posted; without it GET /health
 * @returns {Promise<number>} the milliseconds until the whole answer is there
 */
async function ask(agent, port, body) {
  const start = performance.now();
  const path = body === undefined ? '/health' : '/';
  const sent = request({ agent, port, host: '127.0.0.1', path, method: body === undefined ? 'GET' : 'POST' });
  sent.end(body);
  const [response] = await Promise.all([
    new Promise((/** @type {(response: import('node:http').IncomingMessage) => void} */ resolve, reject) => {
      sent.once('response', resolve);
      sent.once('error', reject);
    }),
  ]);
  const answer = await readAll(response);
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}: ${answer.slice(0, 200)}`);
  return performance.now() - start;
}

/** @param {number[]} sorted @param {number} share @returns {number} */
const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];

await serve({
  run: async ({ port, connections, seconds, file }) => {
    /** @type {string[]} */
    const bodies = JSON.parse(readFileSync(file, 'utf8')).map((/** @type {string} */ text) => JSON.stringify({ text }));
    const agent = new Agent({ keepAlive: true, maxSockets: connections });
    const healthAgent = new Agent({ keepAlive: true, maxSockets: 1 });
    /** @type {number[]} */
    const took = [];
    /** @type {number[]} */
    const health = [];
    let next = 0;
    const start = performance.now();
    const end = start + seconds * 1000;
    const client = async () => {
      while (performance.now() < end) {
        next += 1;
        took.push(await ask(agent, port, bodies[next % bodies.length]));
      }
    };
    let isDone = false;
    const checker = (async () => {
      while (!isDone) {
        health.push(await ask(healthAgent, port));
        await sleep(20);
      }
    })();
    await Promise.all(Array.from({ length: connections }, client));
    const elapsed = (performance.now() - start) / 1000;
    isDone = true;
    await checker;
    agent.destroy();
    healthAgent.destroy();
    took.sort((a, b) => a - b);
    return {
      seconds_per_request: elapsed / took.length,
      p50: quantile(took, 0.5),
      p99: quantile(took, 0.99),
      health_worst: Math.max(...health),
    };
  },
});
