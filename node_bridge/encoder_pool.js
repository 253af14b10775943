/**
 * Encoders in worker threads, one a core: TF.js's wasm and cpu backends have one thread each. Every
 * batch runs whole in one of them, so that how many there are changes no number.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

import { CheckFailed, EnvironmentProblem, UserError } from './errors.js';

/**
 * @typedef {import('./encoder.js').Encoding} Encoding
 * @typedef {import('./encoder_worker.js').Method} Method
 * @typedef {{method: Method, encodings: Encoding[], done: (rows: Float32Array[]) => void,
 *   failed: (error: Error) => void}} Job
 */

const PROGRAM = new URL('./encoder_worker.js', import.meta.url);

export class EncoderPool {
  /** @type {Worker[]} */
  #workers;
  /** @type {Worker[]} */
  #idle;
  /** @type {Job[]} */
  #waiting = [];
  /** @type {Map<Worker, Job>} */
  #running = new Map();
  /** @type {Error | undefined} */
  #broken;

  /** @param {Worker[]} workers that are ready @param {string} notice what to tell a person of the backend */
  constructor(workers, notice) {
    this.#workers = workers;
    this.notice = notice;
    this.#idle = [...workers];
    for (const worker of workers) {
      worker.on('message', (answer) => this.#answered(worker, answer));
      worker.on('error', (error) => this.#break(error));
      worker.on('exit', () => this.#break(new EnvironmentProblem('An encoder ended by itself; is there enough memory?')));
    }
  }

  /**
   * @param {import('./bundle.js').Bundle} bundle
   * @param {{backend: string, notice: string, workers: number}} options `backend`: not `auto`
   * @returns {Promise<EncoderPool>} when all have loaded the model
   * @throws {UserError} as Encoder.load
   */
  static async start(bundle, { backend, notice, workers: count }) {
    const workerData = { dir: bundle.dir, hash: bundle.hash, backend };
    const workers = Array.from({ length: count }, () => new Worker(PROGRAM, { workerData }));
    try {
      await Promise.all(workers.map(ready));
    } catch (error) {
      workers.forEach((worker) => worker.terminate());
      throw error;
    }
    workers.forEach((worker) => worker.unref());
    return new EncoderPool(workers, notice);
  }

  /** Batches that it takes at a time. */
  get lanes() {
    return this.#workers.length;
  }

  /** As of Encoder. @param {Encoding[]} encodings */
  firstPosition(encodings) {
    return this.#run('firstPosition', encodings);
  }

  /** As of Encoder. @param {Encoding[]} encodings */
  sequences(encodings) {
    return this.#run('sequences', encodings);
  }

  /** Ends the workers. */
  async dispose() {
    this.#broken = new Error('The encoders have been disposed of');
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  /** @param {Method} method @param {Encoding[]} encodings @returns {Promise<Float32Array[]>} */
  #run(method, encodings) {
    return new Promise((done, failed) => {
      this.#waiting.push({ method, encodings, done, failed });
      this.#next();
    });
  }

  #next() {
    if (this.#broken !== undefined) {
      for (const { failed } of this.#waiting.splice(0)) failed(this.#broken);
    }
    while (this.#idle.length > 0 && this.#waiting.length > 0) {
      const worker = /** @type {Worker} */ (this.#idle.pop());
      const job = /** @type {Job} */ (this.#waiting.shift());
      this.#running.set(worker, job);
      worker.ref(); // what is waited for keeps the program alive
      // The ids of many texts share a buffer: sliced, lest all of it be copied with each.
      const encodings = job.encodings.map(({ ids, typeIds }) => ({ ids: ids.slice(), typeIds: typeIds.slice() }));
      worker.postMessage({ method: job.method, encodings });
    }
  }

  /** @param {Worker} worker @param {import('./encoder_worker.js').Answer} answer */
  #answered(worker, answer) {
    const job = /** @type {Job} */ (this.#running.get(worker));
    this.#running.delete(worker);
    this.#idle.push(worker);
    worker.unref();
    if ('rows' in answer) job.done(answer.rows);
    else job.failed(errorOf(answer.error));
    this.#next();
  }

  /** @param {Error} error */
  #break(error) {
    this.#broken ??= error;
    for (const { failed } of this.#running.values()) failed(this.#broken);
    this.#running.clear();
    this.#next();
  }
}

/** @param {Worker} worker */
async function ready(worker) {
  const [answer] = /** @type {[import('./encoder_worker.js').Answer]} */ (await once(worker, 'message'));
  if ('error' in answer) throw errorOf(answer.error);
}

/** An error as it was in the worker. @param {{message: string, exitCode?: number}} told */
function errorOf({ message, exitCode }) {
  const known = [UserError, EnvironmentProblem, CheckFailed].find((kind) => new kind().exitCode === exitCode);
  return known === undefined ? new Error(message) : new known(message);
}
