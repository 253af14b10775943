/**
 * Answers single calls of `predict` together. The encoder is much faster for many texts at a time, and in a
 * server the calls come one by one.
 *
 * While the texts of some calls are computed, those of later calls wait, and are then computed together. When
 * nothing is computed, the first call waits WINDOW milliseconds for others.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { EnvironmentProblem } from '../support/errors.js';

/** Milliseconds. A text of usual length takes albert_tiny 10 to 30 ms on wasm. */
const WINDOW = 2;
/** The most texts that are computed together: more would make each of them wait longer, and gain nothing. */
export const MAX_TOGETHER = 64;
/** The most texts that wait: beyond it a server has to say that it is busy. */
export const MAX_WAITING = 4096;

/** There are more calls than can be answered. Its message is for people, `code` for programs. */
export class QueueFull extends EnvironmentProblem {
  code = 'ERR_QUEUE_FULL';
}

/**
 * @template T
 * @typedef {{text: import('../data/text.js').Text, resolve: (result: T) => void, reject: (error: unknown) => void,
 *   signal?: AbortSignal, onAbort?: () => void}} Request
 */

/**
 * @template T what is computed of each text
 */
export class RequestQueue {
  #compute;
  /** @type {Request<T>[]} */
  #waiting = [];
  /** @type {Promise<void> | undefined} */
  #running;
  /** @type {Error | undefined} */
  #closed;

  /** @param {(texts: import('../data/text.js').Text[]) => Promise<T[]>} compute a result for each text, in their order */
  constructor(compute) {
    this.#compute = compute;
  }

  /**
   * @param {import('../data/text.js').Text[]} texts
   * @param {AbortSignal} [signal]
   * @returns {Promise<T[]>} a result for each text
   * @throws {QueueFull} too many texts wait
   * @throws the signal's reason, as soon as it is aborted; an error of a text fails the call that has it, and no other
   */
  async add(texts, signal) {
    signal?.throwIfAborted();
    if (this.#closed !== undefined) throw this.#closed;
    if (this.#waiting.length + texts.length > MAX_WAITING) {
      throw new QueueFull(
        `${this.#waiting.length} texts wait to be computed, expected at most ${MAX_WAITING}; try again later, or give more \`workers\``,
        'workers',
      );
    }
    const results = Promise.all(texts.map((text) => this.#wait(text, signal)));
    this.#running ??= this.#run();
    return results;
  }

  /** Fails all calls that wait, and waits for the texts that are computed. @param {Error} reason */
  async close(reason) {
    this.#closed ??= reason;
    for (const request of this.#waiting.splice(0)) settle(request).reject(reason);
    await this.#running;
  }

  /**
   * @param {import('../data/text.js').Text} text
   * @param {AbortSignal} [signal]
   * @returns {Promise<T>}
   */
  #wait(text, signal) {
    return new Promise((resolve, reject) => {
      /** @type {Request<T>} */
      const request = { text, resolve, reject, signal };
      if (signal !== undefined) {
        request.onAbort = () => {
          // A text that is already being computed is computed to its end, for nobody.
          const at = this.#waiting.indexOf(request);
          if (at >= 0) this.#waiting.splice(at, 1);
          reject(signal.reason);
        };
        signal.addEventListener('abort', request.onAbort, { once: true });
      }
      this.#waiting.push(request);
    });
  }

  /** Computes until nothing waits. */
  async #run() {
    if (this.#waiting.length < MAX_TOGETHER) await sleep(WINDOW);
    while (this.#waiting.length > 0) await this.#answer(this.#waiting.splice(0, MAX_TOGETHER));
    this.#running = undefined;
  }

  /** @param {Request<T>[]} requests never rejects */
  async #answer(requests) {
    try {
      const results = await this.#compute(requests.map(({ text }) => text));
      requests.forEach((request, at) => settle(request).resolve(results[at]));
    } catch (error) {
      if (requests.length === 1) return settle(requests[0]).reject(error);
      // Each by itself: only the call whose text is the cause shall fail.
      for (const request of requests) await this.#answer([request]);
    }
  }
}

/** Removes the request's listener. @template T @param {Request<T>} request */
function settle(request) {
  if (request.onAbort !== undefined) request.signal?.removeEventListener('abort', request.onAbort);
  return request;
}
