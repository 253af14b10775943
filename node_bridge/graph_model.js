/** A bundle's GraphModel, on whatever backend is TF.js's current one. */
import { load } from './tfjs.js';

/**
 * @typedef {import('./bundle.js').Bundle} Bundle
 * @typedef {import('@tensorflow/tfjs-core').io.ModelArtifacts} ModelArtifacts
 * @typedef {import('@tensorflow/tfjs-core').io.WeightsManifestEntry} WeightsManifestEntry
 */

/**
 * @param {Bundle} bundle
 * @returns {Promise<import('./model.js').Model>}
 * @throws {import('./errors.js').UserError} a damaged file
 */
export async function openGraphModel(bundle) {
  const model = await load('converter').loadGraphModel({ load: async () => artifacts(bundle) });
  return {
    run(feeds, names) {
      const outputs = model.execute(feeds, names);
      return Array.isArray(outputs) ? outputs : [outputs];
    },
    kind: 'graph_model',
    dispose: () => model.dispose(),
  };
}

/**
 * The GraphModel as TF.js wants it, from checked files.
 *
 * @param {Bundle} bundle
 * @returns {ModelArtifacts}
 */
function artifacts(bundle) {
  const document = JSON.parse(bundle.read('model.json').toString('utf8'));
  /** @type {{paths: string[], weights: WeightsManifestEntry[]}[]} */
  const manifest = document.weightsManifest;
  return {
    format: document.format,
    modelTopology: document.modelTopology,
    signature: document.signature,
    userDefinedMetadata: document.userDefinedMetadata,
    weightSpecs: manifest.flatMap(({ weights }) => weights),
    weightData: manifest.flatMap(({ paths }) => paths).map((path) => arrayBuffer(bundle.read(path))),
  };
}

/** @param {Buffer} bytes */
function arrayBuffer(bytes) {
  const whole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength;
  const exact = whole ? bytes : Uint8Array.prototype.slice.call(bytes);
  return /** @type {ArrayBuffer} */ (exact.buffer);
}
