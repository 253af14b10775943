/**
 * Encoders in worker threads, one a core: TF.js's wasm and cpu backends have one thread each. Every
 * batch runs whole in one of them, so that how many there are changes no number.
 */
import { Worker } from 'node:worker_threads';

import { fixedSize } from './encoder.js';
import { CheckFailed, EnvironmentProblem, UserError } from './errors.js';

/**
 * @typedef {import('./encoder.js').Encoding} Encoding
 * @typedef {import('./encoder_worker.js').Method} Method
 * @typedef {{method: Method, encodings: Encoding[], rest: any[], done: (result: any) => void,
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

  /**
   * See `start`.
   *
   * @param {Worker[]} workers that are ready
   * @param {import('./bundle.js').Bundle} bundle
   * @param {string} notice what to tell a person of the backend
   */
  constructor(workers, bundle, notice) {
    this.#workers = workers;
    this.#idle = [...workers];
    this.notice = notice;
    this.fixedLength = fixedSize(bundle, 1);
    for (const worker of workers) {
      worker.on('message', (answer) => this.#answered(worker, answer));
      worker.on('error', (error) => this.#break(error));
      worker.on('exit', () => this.#break(endedByItself()));
      // An idle worker must not keep the program alive. After the listeners: the first one for
      // 'message' makes Node hold the worker's port again (Node 20, 22 and 24).
      worker.unref();
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
    return new EncoderPool(workers, bundle, notice);
  }

  /** Batches that it takes at a time. */
  get lanes() {
    return this.#workers.length;
  }

  /** As of Encoder. @param {Encoding[]} encodings @returns {Promise<Float32Array[]>} */
  firstPosition(encodings) {
    return this.#run('firstPosition', encodings);
  }

  /** As of Encoder. @param {Encoding[]} encodings @returns {Promise<Float32Array[]>} */
  means(encodings) {
    return this.#run('means', encodings);
  }

  /** As of Encoder. @param {Encoding[]} encodings @returns {Promise<Float32Array[]>} */
  pooled(encodings) {
    return this.#run('pooled', encodings);
  }

  /** As of Encoder. @param {Encoding[]} encodings @returns {Promise<Float32Array[]>} */
  sequences(encodings) {
    return this.#run('sequences', encodings);
  }

  /**
   * As of Encoder.
   *
   * @param {Encoding[]} encodings
   * @param {number} [width]
   * @param {string[]} [names]
   * @returns {Promise<Record<string, import('./encoder.js').Output>>}
   */
  run(encodings, width, names) {
    return this.#run('run', encodings, width, names);
  }

  /** Ends the workers. */
  async dispose() {
    this.#broken ??= new Error('The encoders have been disposed of');
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  /**
   * @param {Method} method
   * @param {Encoding[]} encodings
   * @param {...any} rest what else the method takes
   * @returns {Promise<any>} what it gives
   */
  #run(method, encodings, ...rest) {
    return new Promise((done, failed) => {
      this.#waiting.push({ method, encodings, rest, done, failed });
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
      worker.postMessage({ method: job.method, encodings, rest: job.rest });
    }
  }

  /** @param {Worker} worker @param {import('./encoder_worker.js').Answer} answer */
  #answered(worker, answer) {
    // A worker that is being ended must hold the program until it has: its `unref` here would let
    // the program go while `dispose` is awaited (exit code 13). Its job fails when it ends.
    if (this.#broken !== undefined) return;
    const job = /** @type {Job} */ (this.#running.get(worker));
    this.#running.delete(worker);
    this.#idle.push(worker);
    worker.unref();
    if ('result' in answer) job.done(answer.result);
    else job.failed(errorOf(answer.error));
    this.#next();
  }

  /** Fails all that is asked for, and ends the other workers. @param {Error} error */
  #break(error) {
    const first = this.#broken === undefined;
    this.#broken ??= error;
    for (const { failed } of this.#running.values()) failed(this.#broken);
    this.#running.clear();
    this.#next();
    if (first) void this.dispose();
  }
}

/** @param {Worker} worker @returns {Promise<void>} when it has loaded the model */
function ready(worker) {
  return new Promise((done, failed) => {
    worker.once('message', (/** @type {import('./encoder_worker.js').Answer} */ answer) => {
      if ('error' in answer) failed(errorOf(answer.error));
      else done();
    });
    worker.once('error', failed);
    worker.once('exit', () => failed(endedByItself()));
  });
}

function endedByItself() {
  return new EnvironmentProblem('An encoder ended by itself; is there enough memory?');
}

/** An error as it was in the worker. @param {import('./encoder_worker.js').Told} told */
function errorOf({ exitCode, message, ...rest }) {
  const known = [UserError, EnvironmentProblem, CheckFailed].find((kind) => new kind().exitCode === exitCode);
  return known === undefined ? Object.assign(new Error(message), rest) : new known(message);
}
