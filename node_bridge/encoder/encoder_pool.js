/**
 * A pool of encoders in worker threads, since TF.js's wasm and cpu backends use one thread each. Each
 * batch runs in one encoder, so the number of encoders does not change any result.
 */
import { availableParallelism, totalmem } from 'node:os';
import { Worker } from 'node:worker_threads';

import { DEFAULT_BACKEND, useBackend } from '../backends/index.js';
import { CheckFailed, EnvironmentProblem, UserError } from '../support/errors.js';
import { packageFile } from '../support/places.js';
import { Encoder, findFixedSize } from './encoder.js';

/**
 * @typedef {import('./encoder.js').Encoding} Encoding
 * @typedef {import('./encoder_worker.js').Method} Method
 * @typedef {{method: Method, encodings: Encoding[], rest: any[], done: (result: any) => void,
 *   failed: (error: Error) => void}} Job
 */

/** Encoders in worker threads. */
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
   * Use `start`.
   *
   * @param {Worker[]} workers that have loaded the model
   * @param {import('../bundle/bundle.js').Bundle} bundle
   * @param {string} notice a message for people about the backend
   */
  constructor(workers, bundle, notice) {
    this.#workers = workers;
    this.#idle = [...workers];
    this.notice = notice;
    this.fixedLength = findFixedSize(bundle, 1);
    for (const worker of workers) {
      worker.on('message', (answer) => this.#answered(worker, answer));
      worker.on('error', (error) => this.#break(error));
      worker.on('exit', () => this.#break(createEndedError()));
      // An idle worker must not keep the program running. This comes after the listeners: the first
      // listener for 'message' makes the worker's port keep it running again (Node 20, 22 and 24).
      worker.unref();
    }
  }

  /**
   * @param {import('../bundle/bundle.js').Bundle} bundle
   * @param {{backend: string, notice: string, workers: number}} options `backend`: not `auto`
   * @returns {Promise<EncoderPool>} resolves when all workers have loaded the model
   * @throws {UserError} see Encoder.load
   */
  static async start(bundle, { backend, notice, workers: count }) {
    const program = packageFile('node_bridge', 'encoder', 'encoder_worker.js');
    const workerData = { dir: bundle.dir, hash: bundle.hash, backend };
    const workers = Array.from({ length: count }, () => new Worker(program, { workerData }));
    try {
      await Promise.all(workers.map(waitUntilReady));
    } catch (error) {
      workers.forEach((worker) => worker.terminate());
      throw error;
    }
    return new EncoderPool(workers, bundle, notice);
  }

  /** How many batches it takes at the same time. */
  get lanes() {
    return this.#workers.length;
  }

  /** See Encoder. @param {Encoding[]} encodings @returns {Promise<Float32Array[]>} */
  firstPosition(encodings) {
    return this.#run('firstPosition', encodings);
  }

  /** See Encoder. @param {Encoding[]} encodings @returns {Promise<Float32Array[]>} */
  means(encodings) {
    return this.#run('means', encodings);
  }

  /** See Encoder. @param {Encoding[]} encodings @returns {Promise<Float32Array[]>} */
  pooled(encodings) {
    return this.#run('pooled', encodings);
  }

  /** See Encoder. @param {Encoding[]} encodings @returns {Promise<Float32Array[]>} */
  sequences(encodings) {
    return this.#run('sequences', encodings);
  }

  /** See Encoder. @param {Encoding[]} encodings @param {string} name @returns {Promise<Float32Array[]>} */
  rowsOf(encodings, name) {
    return this.#run('rowsOf', encodings, name);
  }

  /**
   * See Encoder.
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
   * @param {...any} rest further arguments of the method
   * @returns {Promise<any>} its result
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
      worker.ref(); // a running job keeps the program running
      // The ids of many texts share a buffer. Without `slice`, all of it would be copied for each text.
      const encodings = job.encodings.map(({ ids, typeIds }) => ({ ids: ids.slice(), typeIds: typeIds.slice() }));
      worker.postMessage({ method: job.method, encodings, rest: job.rest });
    }
  }

  /** @param {Worker} worker @param {import('./encoder_worker.js').WorkerReply} answer */
  #answered(worker, answer) {
    // A worker that is being ended must keep the program running until it has ended. With `unref` here
    // the program would end while `dispose` is awaited (exit code 13). The job fails when the worker ends.
    if (this.#broken !== undefined) return;
    const job = /** @type {Job} */ (this.#running.get(worker));
    this.#running.delete(worker);
    this.#idle.push(worker);
    worker.unref();
    if ('result' in answer) job.done(answer.result);
    else job.failed(restoreError(answer.error));
    this.#next();
  }

  /** Fails all jobs, and ends the other workers. @param {Error} error */
  #break(error) {
    const first = this.#broken === undefined;
    this.#broken ??= error;
    for (const { failed } of this.#running.values()) failed(this.#broken);
    this.#running.clear();
    this.#next();
    if (first) void this.dispose();
  }
}

/** @param {Worker} worker @returns {Promise<void>} resolves when it has loaded the model */
function waitUntilReady(worker) {
  return new Promise((done, failed) => {
    worker.once('message', (/** @type {import('./encoder_worker.js').WorkerReply} */ answer) => {
      if ('error' in answer) failed(restoreError(answer.error));
      else done();
    });
    worker.once('error', failed);
    worker.once('exit', () => failed(createEndedError()));
  });
}

function createEndedError() {
  return new EnvironmentProblem('An encoder ended by itself; is there enough memory?');
}

/** Makes the error of a worker an error of the same class again. @param {import('./encoder_worker.js').SerializedError} serialized */
function restoreError({ exitCode, message, ...rest }) {
  const known = [UserError, EnvironmentProblem, CheckFailed].find((kind) => new kind().exitCode === exitCode);
  return known === undefined ? Object.assign(new Error(message), rest) : new known(message);
}

// Opening a bundle's model on several cores. TensorFlow uses all cores itself; TF.js's backends need a pool.

/** Memory of a worker without the weights: with albert_tiny (8 MB of weights) each took 30 MB. */
const WORKER_BYTES = 24e6;
/** More than any machine has cores for. */
export const MAX_WORKERS = 256;
/** In a program, so that its event loop stays free: a batch on wasm takes a second. */
export const DEFAULT_WORKERS = 1;
/** In place of a number of workers: the encoder runs in this thread. */
const THIS_THREAD = 0;

/**
 * @typedef {object} EncodersExtra what `openEncoders` returns besides the Encoder of features.js
 * @property {string} notice a message for people about the backend
 * @property {Encoder['run']} run
 * @property {() => unknown} dispose
 * @typedef {import('./features.js').Encoder & EncodersExtra} Encoders
 */

/**
 * The `workers` of `openEncoders` for a command, which has nothing else to do than to wait for its encoders: a
 * single one runs in the command's own thread, since a worker would load TF.js once more.
 *
 * @param {number} encoders how many run at the same time
 */
export function countCommandWorkers(encoders) {
  return encoders > 1 ? encoders : THIS_THREAD;
}

/**
 * @param {import('../bundle/bundle.js').Bundle} bundle
 * @param {object} [options]
 * @param {string} [options.backend] `auto` (default), `native`, `wasm` or `cpu`
 * @param {number} [options.workers] how many threads of their own encoders run in on wasm and cpu, each with the
 *   model in memory; by default one per core. With 0 a single one runs in this thread. Native TensorFlow always
 *   runs in this thread and uses all cores.
 * @returns {Promise<Encoders>}
 * @throws {UserError} see Encoder.load; or `workers` is no whole number from 0 to 256
 */
export async function openEncoders(bundle, { backend = DEFAULT_BACKEND, workers = availableParallelism() } = {}) {
  if (!(Number.isInteger(workers) && workers >= THIS_THREAD && workers <= MAX_WORKERS)) {
    throw new UserError(
      `Expected \`workers\` to be a whole number of threads from 0 to ${MAX_WORKERS}, got \`${workers}\``,
      'workers',
    );
  }
  if (workers !== THIS_THREAD) {
    const { name, notice } = await useBackend(backend);
    if (name !== 'native') {
      assertModelsFitMemory(bundle, workers);
      return EncoderPool.start(bundle, { backend: name, notice, workers });
    }
  }
  return Encoder.load(bundle, { backend });
}

/**
 * Refuses too many encoders. Each has the model in memory, and without memory the system kills the
 * program without a message.
 *
 * @param {import('../bundle/bundle.js').Bundle} bundle
 * @param {number} workers
 * @throws {UserError} this machine has not enough memory for them
 */
function assertModelsFitMemory({ contract }, workers) {
  const weights = Object.entries(contract.files).filter(([name]) => name.endsWith('.bin') && !name.startsWith('saved_model/'));
  const each = WORKER_BYTES + weights.reduce((sum, [, { size }]) => sum + size, 0);
  const most = Math.max(1, Math.floor(totalmem() / each));
  if (workers <= most) return;
  throw new UserError(
    `got ${workers} encoders at a time, each with the model in memory, expected at most ${most} on this machine; give fewer \`workers\``,
    'workers',
  );
}
