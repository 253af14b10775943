/**
 * Training that has not ended yet, in one file: what the next epoch starts from, the best weights
 * so far, and what has been said. The file is named after everything that decides the outcome, so
 * that the same command finds it and no other one does.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { bytesOf, readSafetensors, writeSafetensors } from './safetensors.js';

/**
 * @typedef {import('./fitting.js').State} State
 * @typedef {import('./training.js').EpochResult} EpochResult
 * @typedef {{state: State, best: {epoch: number, weights: Float32Array[]}, history: EpochResult[]}} Progress
 */

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
    const { tensors, metadata } = readSafetensors(readFileSync(this.path), this.path);
    if (sumOf(metadata.told, tensors) !== metadata.sha256) throw new Error(`${this.path} does not have the sha256 it names`);
    const group = (/** @type {string} */ name) =>
      Object.keys(tensors)
        .filter((key) => key.startsWith(`${name}.`))
        .sort()
        .map((key) => /** @type {Float32Array} */ (tensors[key].data));
    const { epoch, steps, best, history } = JSON.parse(metadata.told);
    const state = { epoch, steps, weights: group('weights'), moments: group('moments') };
    return { state, best: { epoch: best, weights: group('best') }, history };
  }

  /** What was begun is finished, or of no use. */
  remove() {
    rmSync(this.path, { force: true });
  }
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
