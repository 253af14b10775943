/**
 * Training that has not ended yet, in one file: what the next epoch starts from, the best weights
 * so far, and what has been said. The file is named after everything that decides the outcome, so
 * that the same command finds it and no other one does.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { readInput } from './input_file.js';
import { isObject, parseJson } from './json.js';
import { bytesOf, readSafetensors, writeSafetensors } from './safetensors.js';

/**
 * @typedef {import('./fitting.js').State} State
 * @typedef {import('./training.js').EpochResult} EpochResult
 * @typedef {{state: State, best: {epoch: number, weights: Float32Array[]}, history: EpochResult[]}} Progress
 */

/** Bytes: a head of 10,000 labels has 20 MB, kept four times. */
const LARGEST = 2 ** 30;

export class TrainingState {
  /**
   * @param {string} cache
   * @param {unknown[]} decides all that the outcome depends on, as JSON can tell it
   */
  constructor(cache, decides) {
    this.dir = join(cache, 'training');
    this.path = join(this.dir, `${sha256([Buffer.from(JSON.stringify(decides))]).slice(0, 32)}.safetensors`);
  }

  /** @param {Progress} progress */
  write({ state, best, history }) {
    mkdirSync(this.dir, { recursive: true });
    const { weights, moments, epoch, steps } = state;
    const groups = { best: best.weights, moments, weights };
    const tensors = Object.fromEntries(
      Object.entries(groups).flatMap(([group, arrays]) =>
        arrays.map((data, i) => [nameOf(group, i), { dtype: /** @type {const} */ ('F32'), shape: [data.length], data }]),
      ),
    );
    const told = JSON.stringify({ epoch, steps, best: best.epoch, history });
    writeSafetensors(this.path, tensors, { told, sha256: sumOf(told, tensors) });
  }

  /**
   * @returns {Progress | undefined} undefined where there is none
   * @throws {Error} it is damaged
   */
  read() {
    if (!existsSync(this.path)) return undefined;
    const { tensors, metadata } = readSafetensors(readInput(this.path, LARGEST), this.path);
    if (sumOf(metadata.told, tensors) !== metadata.sha256) throw new Error(`${this.path} does not have the sha256 it names`);
    const group = (/** @type {string} */ name) =>
      Object.keys(tensors)
        .filter((key) => key.startsWith(`${name}.`))
        .sort()
        .map((key) => /** @type {Float32Array} */ (tensors[key].data));
    const told = parseJson(metadata.told, this.path);
    if (!isTold(told)) throw new Error(`${this.path} does not say where training was`);
    const { epoch, steps, best, history } = told;
    const state = { epoch, steps, weights: group('weights'), moments: group('moments') };
    return { state, best: { epoch: best, weights: group('best') }, history };
  }

  /** What was begun is finished, or of no use. */
  remove() {
    rmSync(this.path, { force: true, recursive: true });
  }
}

/**
 * Whether it says all that training goes on from.
 *
 * @param {unknown} told
 * @returns {told is {epoch: number, steps: number, best: number, history: EpochResult[]}}
 */
function isTold(told) {
  if (!isObject(told) || !Array.isArray(told.history)) return false;
  const { epoch, steps, best, history } = told;
  const isEpoch = (/** @type {unknown} */ one) =>
    isObject(one) && ['loss', 'accuracy', 'devLoss', 'devAccuracy', 'devMacroF1', 'seconds'].every((name) => Number.isFinite(one[name]));
  return [epoch, steps, best].every((value) => Number.isSafeInteger(value) && value >= 1) && epoch === history.length && best <= epoch && history.every(isEpoch);
}

/** Sorts as it counts. @param {string} group @param {number} i */
function nameOf(group, i) {
  return `${group}.${String(i).padStart(4, '0')}`;
}

/** @param {string} told @param {Record<string, {data: Float32Array | Int32Array}>} tensors */
function sumOf(told, tensors) {
  const names = Object.keys(tensors).sort();
  return sha256([Buffer.from(told), ...names.map((name) => bytesOf(tensors[name].data))]);
}

/** @param {Uint8Array[]} chunks */
export function sha256(chunks) {
  const whole = createHash('sha256');
  chunks.forEach((chunk) => whole.update(chunk));
  return whole.digest('hex');
}
