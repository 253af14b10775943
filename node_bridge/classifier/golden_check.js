/**
 * Checks the golden cases of a bundle before training encodes the first text. Without this check a
 * backend with wrong vectors would train a classifier without an error.
 */
import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';

import { readGoldenCases, verifyVectors } from '../bundle/golden_cases.js';
import { createTextSource } from '../data/dataset.js';
import { CheckFailed } from '../support/errors.js';
import { makeDirectory, writeFileAtomically } from '../support/files.js';
import { sha256 } from '../support/sha256.js';

const FOLDER = 'verified';

/**
 * Checks once for each bundle, backend and machine; the cache remembers a check that passed.
 *
 * @param {string} cache directory
 * @param {import('../bundle/bundle.js').Bundle} bundle
 * @param {{name: string, version: string}} backend of the encoder
 * @param {{tokenizer: import('../tokenizer/index.js').Tokenizer, encoder: import('../encoder/features.js').Encoder}} tools of the bundle
 * @param {(line: string) => void} say prints a message
 * @throws {CheckFailed} the vectors are not those of Python
 */
export async function checkGoldenCasesOnce(cache, bundle, backend, { tokenizer, encoder }, say) {
  const file = join(cache, FOLDER, `${computeCacheKey(bundle, backend)}.json`);
  if (existsSync(file)) return;
  const { passed, maxAbs, said } = await verifyVectors(bundle, tokenizer, encoder);
  if (!passed) {
    throw new CheckFailed(
      `${bundle.dir}: on backend ${backend.name} the golden cases are not what Python gave: ${said}; nothing was ` +
        `trained; try another --backend, or see node node_bridge/verify.js --bundle ${bundle.dir}`,
    );
  }
  say(`golden cases hold on backend ${backend.name} (max |Δ| ${maxAbs?.toPrecision(2)})`);
  makeDirectory(join(cache, FOLDER));
  writeFileAtomically(file, [Buffer.from(`${JSON.stringify({ bundle: bundle.hash, backend, maxAbs })}\n`)]);
}

/**
 * The golden texts of a bundle. A classifier stores its answers to them; they are not the user's texts,
 * so the user can publish the classifier. For pairs, each text is paired with the next one.
 *
 * @param {import('../bundle/bundle.js').Bundle} bundle
 * @param {import('../data/text.js').Task} task
 * @returns {import('../data/dataset.js').TextSource}
 * @throws {import('../support/errors.js').UserError} the bundle has no golden cases
 */
export function readGoldenTexts(bundle, task) {
  const { texts } = readGoldenCases(bundle);
  const next = (/** @type {number} */ i) => texts[(i + 1) % texts.length];
  return createTextSource(
    bundle.dir,
    texts.map((text, i) => (task === 'pair' ? { text, pair: next(i) } : { text })),
  );
}

/**
 * A key of all that may change a vector: the bundle, the backend, Node, and the processor.
 *
 * @param {import('../bundle/bundle.js').Bundle} bundle
 * @param {{name: string, version: string}} backend
 */
function computeCacheKey({ hash }, { name, version }) {
  const { arch, version: node } = process;
  const parts = [hash, name, version, node, arch, cpus()[0]?.model ?? ''];
  return sha256(JSON.stringify(parts)).slice(0, 32);
}
