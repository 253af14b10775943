/**
 * Vets the SavedModel of a bundle before TensorFlow loads it.
 *
 * A SavedModel is a program: it can have ops that read and write files. So only ops of a committed
 * list pass, the same list that Python's exporter uses, and the few ops that need a file may only use
 * the model's own files (file_ops.js). The hashes of a bundle do not help here: an attacker can write
 * any hash.
 */
import { readFileSync } from 'node:fs';

import { UserError } from '../../support/errors.js';
import { packageFile } from '../../support/places.js';
import { sha256 } from '../../support/sha256.js';
import { findMisplacedFileOps } from './file_ops.js';
import { listAssets, GRAPH_FILE, listGraphs, readSavedModel } from './messages.js';

/** The files of a SavedModel: the exporter copies no others, and a loader reads no others. */
const ALLOWED_FILES = /^(saved_model\.pb|(variables|assets)\/.+)$/s;
const SHOWN = 5;

/**
 * @typedef {import('./messages.js').Message} Message
 * @typedef {Record<string, {sha256: string, size: number}>} Files of a SavedModel, by name
 */

/**
 * Refuses a SavedModel that could do more than compute.
 *
 * @param {Uint8Array} bytes its `saved_model.pb`
 * @param {string[]} names of all its files, relative to its directory
 * @param {string} where its path, for messages
 * @throws {UserError} an op is not in the list, a file op is in a wrong position, an asset is outside
 *   the directory, a file belongs to no SavedModel, or the bytes are no SavedModel
 */
export function vet(bytes, names, where) {
  const foreign = names.find((name) => !ALLOWED_FILES.test(name));
  if (foreign !== undefined) {
    throw new UserError(`${where} holds ${foreign}, expected ${GRAPH_FILE}, variables and assets alone; export the bundle again`);
  }
  for (const metaGraph of readSavedModel(bytes, `${where}/${GRAPH_FILE}`).metaGraphs) {
    const refused = findRefusedOps(metaGraph);
    const problems = refused.length > 0 ? refused : findMisplacedFileOps(metaGraph);
    if (problems.length > 0) {
      const more = problems.length > SHOWN ? ` and ${problems.length - SHOWN} more` : '';
      throw new UserError(
        `${where}: got ${problems.slice(0, SHOWN).join(', ')}${more}, expected only ops that compute ` +
          '(export/source/allowed_ops.txt); nothing was loaded, since this could read, write or run things on ' +
          'this machine: export the bundle again from a model that you trust, or use another `backend`',
        'backend',
      );
    }
    assertAssets(metaGraph, names, where);
  }
}

/** @type {Set<string> | undefined} */
let allowed;

/** Reads the committed list, once. */
function readAllowedOps() {
  allowed ??= new Set(
    readFileSync(packageFile('export', 'source', 'allowed_ops.txt'), 'utf8')
      .split('\n')
      .filter((op) => op !== ''),
  );
  return allowed;
}

/** Finds each op outside the list, with its function, and doubled names that could hide one. @param {Message} metaGraph @returns {string[]} */
function findRefusedOps(metaGraph) {
  const ops = readAllowedOps();
  /** @type {Map<string, string>} */
  const found = new Map();
  const note = (/** @type {string} */ what, where = '') => found.has(what) || found.set(what, where);
  const seen = new Set();
  for (const [name, nodes] of listGraphs(metaGraph)) {
    if (seen.has(name)) note(`two functions called ${JSON.stringify(name)}`);
    // A node with this op would call the function.
    if (ops.has(name)) note(`a function called ${JSON.stringify(name)}, as an op is`);
    seen.add(name);
    const where = name === '' ? '' : ` in ${name}`;
    const names = new Set();
    for (const node of nodes) {
      if (!ops.has(node.op)) note(`op ${node.op}`, where);
      if (names.has(node.name)) note(`two nodes called ${JSON.stringify(node.name)}`, where);
      names.add(node.name);
    }
  }
  return [...found].map(([what, where]) => what + where);
}

/** Refuses assets, such as a vocab, that are not in the model's own `assets` folder. @param {Message} metaGraph @param {string[]} names @param {string} where */
function assertAssets(metaGraph, names, where) {
  for (const { filename } of listAssets(metaGraph)) {
    if (!isPlainPath(filename) || !names.includes(`assets/${filename}`)) {
      throw new UserError(
        `${where}: got an asset ${JSON.stringify(filename)}, expected a file inside its folder assets; export the bundle again`,
      );
    }
  }
}

/** Whether a relative path stays inside its directory and has no other spelling. @param {string} path */
function isPlainPath(path) {
  return !path.includes('\\') && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

/**
 * Computes the digest of a SavedModel that a contract records: the sha256 over `<name>` NUL `<sha256>`
 * and a line end for each file. The files are in the order of Python's paths: part by part, by code
 * points.
 *
 * @param {Files} files by name, relative to the SavedModel's directory
 */
export function digestOf(files) {
  const names = Object.keys(files).sort((a, b) => comparePaths(a.split('/'), b.split('/')));
  return sha256(names.map((name) => `${name}\0${files[name].sha256}\n`).join(''));
}

/** @param {string[]} one @param {string[]} other */
function comparePaths(one, other) {
  const at = one.findIndex((part, i) => part !== other[i]);
  if (at === -1) return one.length - other.length;
  return other[at] === undefined ? 1 : Buffer.compare(Buffer.from(one[at]), Buffer.from(other[at]));
}
