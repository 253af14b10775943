/**
 * A bundle's SavedModel in TensorFlow's own session: the whole graph in one call, as Python runs it.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { EnvironmentProblem, UserError } from '../errors.js';
import { library } from './native.js';

const FOLDER = 'saved_model';
/** Of bundles whose contract does not say it. */
const USUAL = { name: 'serving_default', tags: ['serve'] };

/**
 * @typedef {import('../bundle.js').Bundle} Bundle
 * @typedef {Record<string, {tfDtype: string}>} Endpoints by name
 * @typedef {{inputs: Endpoints, outputs: Endpoints}} Signature
 */

/**
 * @param {Bundle} bundle one that has such a folder
 * @returns {Promise<import('../model.js').Model>}
 * @throws {UserError} a file that is damaged or that the contract does not list
 * @throws {EnvironmentProblem} it takes or gives something else than the contract says, or this
 *   TensorFlow does not load it
 */
export async function openSavedModel(bundle) {
  assertIntact(bundle);
  const directory = join(bundle.dir, FOLDER);
  const { node } = library().tfjs;
  try {
    const graphs = await node.getMetaGraphsFromSavedModel(directory);
    const { name, tags } = bundle.contract.signature ?? USUAL;
    const { signatureDefs } = graphWith(graphs, tags);
    if (!Object.hasOwn(signatureDefs, name)) {
      throw new Error(`got signatures ${Object.keys(signatureDefs).join(', ') || 'none'}, expected ${name}`);
    }
    assertFits(bundle, signatureDefs[name]);
    const model = await node.loadSavedModel(directory, tags, name);
    return {
      run(feeds, names) {
        const outputs = model.predict(feeds);
        return names.map((output) => outputs[output]);
      },
      kind: 'saved_model',
      dispose: () => model.dispose(),
    };
  } catch (error) {
    const [reason] = /** @type {Error} */ (error).message.split('\n');
    throw new EnvironmentProblem(`the SavedModel in ${directory} does not run here: ${reason}`);
  }
}

/** TensorFlow reads the files itself, so they are checked before. @param {Bundle} bundle */
function assertIntact(bundle) {
  const listed = Object.keys(bundle.contract.files).filter((name) => name.startsWith(`${FOLDER}/`));
  listed.forEach((name) => bundle.check(name));
  const directory = join(bundle.dir, FOLDER);
  for (const path of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const name = `${FOLDER}/${path}`;
    if (!statSync(join(directory, path)).isDirectory() && !listed.includes(name)) {
      throw new UserError(`${bundle.dir} holds ${name}, which its contract does not list; export or copy it again`);
    }
  }
}

/**
 * The graph with just these tags.
 *
 * @param {{tags: string[], signatureDefs: Record<string, Signature>}[]} graphs
 * @param {string[]} tags
 */
export function graphWith(graphs, tags) {
  const key = (/** @type {string[]} */ some) => JSON.stringify([...some].sort());
  const found = graphs.find((graph) => key(graph.tags) === key(tags));
  if (found === undefined) {
    const got = graphs.map((graph) => `[${graph.tags}]`).join(', ');
    throw new Error(`got graphs with the tags ${got}, expected [${tags}]`);
  }
  return found;
}

/** @param {Bundle} bundle @param {Signature} signature */
function assertFits({ contract }, signature) {
  for (const side of /** @type {const} */ (['inputs', 'outputs'])) {
    const got = Object.entries(signature[side]).map(([name, { tfDtype }]) => `${name} ${tfDtype}`);
    const expected = contract[side].map(({ name, dtype }) => `${name} ${dtype === 'int32' ? 'DT_INT32' : 'DT_FLOAT'}`);
    if (String(got.sort()) !== String(expected.sort())) {
      throw new Error(`got ${side} ${got.join(', ')}, expected ${expected.join(', ')}`);
    }
  }
}
