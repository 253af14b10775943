/**
 * Copies the SavedModel of a bundle for TensorFlow to read, into a new directory that only this user
 * may enter. The copy has the same bytes that were hashed and vetted. TensorFlow reads files itself,
 * and a file in the bundle could be swapped between the check and the reading.
 */
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { CHUNK_BYTES } from '../../support/checked_file.js';
import { EnvironmentProblem, UserError } from '../../support/errors.js';
import { makeDirectory, writeAll } from '../../support/files.js';
import { GRAPH_FILE } from './messages.js';
import { digestOf, vet } from './vetting.js';

const FOLDER = 'saved_model';

/** @typedef {import('../bundle.js').Bundle} Bundle */

/** Whether a bundle has a SavedModel. @param {Bundle} bundle */
export function hasSavedModel(bundle) {
  return bundle.has(`${FOLDER}/${GRAPH_FILE}`);
}

/**
 * @param {Bundle} bundle one that has a SavedModel
 * @returns {{directory: string, remove: () => void}} call `remove` when TensorFlow has read the copy
 * @throws {UserError} the contract does not say that this SavedModel was vetted; the SavedModel is
 *   damaged; or it could do more than compute
 * @throws {EnvironmentProblem} the copy cannot be written
 */
export function copySavedModel(bundle) {
  const files = listFiles(bundle);
  assertVetted(bundle, files);
  assertNoUnlistedFiles(bundle, files);
  const graph = bundle.read(`${FOLDER}/${GRAPH_FILE}`);
  vet(graph, Object.keys(files), join(bundle.dir, FOLDER));
  const directory = createTemporaryDirectory();
  const remove = () => rmSync(directory, { recursive: true, force: true });
  try {
    for (const name of Object.keys(files)) {
      const path = join(directory, name);
      withCopyErrors(path, () => makeDirectory(dirname(path)));
      if (name === GRAPH_FILE) writeChunks(path, [graph]);
      else writeChunks(path, readChunks(bundle, `${FOLDER}/${name}`));
    }
  } catch (error) {
    remove();
    throw error;
  }
  return { directory, remove };
}

/** The contract's entries for files of the SavedModel, by their names inside it. @param {Bundle} bundle */
function listFiles({ contract }) {
  const entries = Object.entries(contract.files).filter(([name]) => name.startsWith(`${FOLDER}/`));
  return Object.fromEntries(entries.map(([name, entry]) => [name.slice(FOLDER.length + 1), entry]));
}

/** @param {Bundle} bundle @param {import('./vetting.js').Files} files */
function assertVetted({ dir, contract }, files) {
  const recorded = contract.saved_model?.sha256;
  const got = digestOf(files);
  if (recorded === got) return;
  const what =
    recorded === undefined
      ? 'no record that its SavedModel was vetted'
      : `a record of a SavedModel with sha256 ${recorded}, but holds one with ${got}`;
  throw new UserError(
    `${dir} has ${what}, so native TensorFlow does not load it: export the bundle again, or use the \`backend\` wasm`,
    'backend',
  );
}

/** Refuses files that the contract does not list. They would not be copied, but are a sign of an attack. @param {Bundle} bundle @param {import('./vetting.js').Files} files */
function assertNoUnlistedFiles({ dir }, files) {
  const directory = join(dir, FOLDER);
  for (const path of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const name = path.replaceAll('\\', '/');
    if (Object.hasOwn(files, name) || statSync(join(directory, path), { throwIfNoEntry: false })?.isDirectory()) continue;
    throw new UserError(`${dir} holds ${FOLDER}/${name}, which its contract does not list; export or copy it again`);
  }
}

function createTemporaryDirectory() {
  return withCopyErrors(tmpdir(), () => mkdtempSync(join(tmpdir(), 'bert-bridge-')));
}

/** @param {Bundle} bundle @param {string} name @returns {Generator<Uint8Array>} */
function* readChunks(bundle, name) {
  const file = bundle.file(name);
  const piece = new Uint8Array(Math.min(file.remaining, CHUNK_BYTES));
  try {
    while (file.remaining > 0) {
      const some = piece.subarray(0, file.remaining);
      file.readInto(some);
      yield some;
    }
  } finally {
    file.close();
  }
}

/** @param {string} path @param {Iterable<Uint8Array>} pieces */
function writeChunks(path, pieces) {
  const file = withCopyErrors(path, () => openSync(path, 'wx', 0o600));
  try {
    let position = 0;
    for (const piece of pieces) {
      withCopyErrors(path, () => writeAll(file, piece, position));
      position += piece.length;
    }
  } finally {
    closeSync(file);
  }
}

/**
 * @template T
 * @param {string} path
 * @param {() => T} work
 * @returns {T}
 */
function withCopyErrors(path, work) {
  try {
    return work();
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    throw new EnvironmentProblem(
      `cannot copy the SavedModel to ${path} (${code}); make room, or set TMPDIR to another directory`,
    );
  }
}
