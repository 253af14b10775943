/** Stand-ins for the bundle, the tokenizer and the encoder: small, and known by heart. */

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const HIDDEN = 4;

/** A toy bundle: its name, directory, and the outputs of its model. @param {string} [hash] @param {number} [hidden] */
export function toyBundle(hash = 'a'.repeat(64), hidden = HIDDEN) {
  const outputs = [{ name: 'sequence_output', role: 'sequence_output', shape: ['batch', 'sequence', hidden] }];
  return /** @type {any} */ ({ dir: '/toy', hash, contract: { max_length: 16, outputs } });
}

/**
 * Changes a classifier and seals it again, as whoever changes one can.
 *
 * @param {string} dir
 * @param {(description: any) => void} change
 */
export function resealClassifier(dir, change) {
  const path = join(dir, 'classifier.json');
  const { sha256: _, ...description } = JSON.parse(readFileSync(path, 'utf8'));
  change(description);
  const sha256 = (/** @type {string | Buffer} */ data) => createHash('sha256').update(data).digest('hex');
  for (const name of Object.keys(description.files)) {
    const bytes = readFileSync(join(dir, name));
    description.files[name] = { sha256: sha256(bytes), size: bytes.length };
  }
  const blank = `${JSON.stringify({ sha256: '0'.repeat(64), ...description })}\n`;
  writeFileSync(path, description.version === 1 ? JSON.stringify(description) : blank.replace('0'.repeat(64), sha256(blank)));
}

/** One id a character. */
export const toyTokenizer = {
  /** @param {string} text @param {{pair?: string, maxLength?: number}} options */
  encode(text, { pair = '', maxLength = Infinity } = {}) {
    const points = [...`^${text}$${pair}`].slice(0, maxLength).map((c) => /** @type {number} */ (c.codePointAt(0)));
    return { ids: Int32Array.from(points), typeIds: new Int32Array(points.length) };
  },
};

/** A toy encoder: counts characters 好 and 坏 and the length; records its batches. */
export class ToyEncoder {
  notice = '';
  hidden = HIDDEN;
  lanes = 1;
  /** @type {Int32Array[][]} */
  batches = [];

  /** @param {{ids: Int32Array}[]} encodings */
  async firstPosition(encodings) {
    this.batches.push(encodings.map(({ ids }) => ids));
    return encodings.map(({ ids }) => {
      const count = (/** @type {string} */ c) => ids.filter((id) => id === c.codePointAt(0)).length;
      return Float32Array.of(count('好'), count('坏'), ids.length / 10, 1);
    });
  }

  /** One vector per character: whether it is 好, whether it is 坏, its position. @param {{ids: Int32Array}[]} encodings */
  async sequences(encodings) {
    this.batches.push(encodings.map(({ ids }) => ids));
    return encodings.map(({ ids }) =>
      Float32Array.from([...ids].flatMap((id, index) => [Number(id === 0x597d), Number(id === 0x574f), index / 10, 1])),
    );
  }

  /** The mean of the vectors of `sequences`. @param {{ids: Int32Array}[]} encodings */
  async means(encodings) {
    return (await this.sequences(encodings)).map((sequence) =>
      Float32Array.from({ length: HIDDEN }, (_, i) => {
        const column = sequence.filter((_, index) => index % HIDDEN === i);
        return column.reduce((sum, value) => sum + value, 0) / column.length;
      }),
    );
  }

  /** As `firstPosition`. @param {{ids: Int32Array}[]} encodings */
  async pooled(encodings) {
    return this.firstPosition(encodings);
  }

  /** Its model has no output that is asked for by name. @returns {Promise<Float32Array[]>} */
  async rowsOf() {
    throw new Error('a toy has no outputs');
  }

  dispose() {}
}
