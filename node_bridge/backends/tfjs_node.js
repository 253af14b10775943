/**
 * Finds and loads tfjs-node: a prebuilt one in the project, else the one that `nox -s native` built
 * against Python's TensorFlow (native/ builds it and writes the stamp that is read here).
 *
 * This is native code. Node itself would search every `node_modules` up to the root of the disk, where
 * other users may write. This file searches only the directories of the package and of the project,
 * and loads nothing that another user owns or that everybody may write.
 */
import { existsSync, lstatSync, readFileSync, statSync } from 'node:fs';
import { machine } from 'node:os';
import { basename, dirname, join } from 'node:path';
import util from 'node:util';

import { EnvironmentProblem } from '../support/errors.js';
import { nativeHome, packageFile, requireFrom } from '../support/places.js';
import { loadPackage, tf } from './tfjs.js';

const NAME = join('@tensorflow', 'tfjs-node');
const BINDING = join('lib', 'napi-v8', 'tfjs_binding.node');
/** The permission bit that lets everybody write. */
const WRITABLE_BY_ALL = 0o002;
const ROOT = packageFile();
const HOME = nativeHome();
const BUILD = '`nox -s native` builds it';
const REBUILD = '`nox -s native` builds it anew';
/** Whether the user set a log level, and so wants to see the log of TensorFlow. */
const isLogLevelSet = process.env.TF_CPP_MIN_LOG_LEVEL !== undefined;
/** The global under which native/packages/tfjs finds this TF.js. */
const SHARED_TFJS = Symbol.for('bert-bridge.tfjs');

/**
 * @typedef {object} Stamp what native/build.py wrote
 * @property {string} tensorflow its version
 * @property {string} library the path of its library
 * @property {number} library_size bytes
 * @property {string} system such as `linux-x86_64`
 * @property {number} node_api
 *
 * @typedef {object} TfjsNode
 * @property {any} tfjs tfjs-node's module
 * @property {'prebuilt' | 'built'} origin
 * @property {string} package its directory
 * @property {string} tensorflow version of the library that runs
 */

/** The native backend was never built here, so no warning is needed. */
export class NotBuilt extends EnvironmentProblem {}

/**
 * @returns {TfjsNode}
 * @throws {NotBuilt} there is none
 * @throws {EnvironmentProblem} it does not load, or was built for another Node, machine or TensorFlow
 */
export function loadTfjsNode() {
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '3';
  const prebuilt = findPrebuiltPackage();
  if (prebuilt === undefined) return loadBuilt();
  try {
    return openPackage(prebuilt, 'prebuilt');
  } catch (error) {
    if (existsSync(join(HOME, 'built.json'))) return loadBuilt();
    throw new EnvironmentProblem(`${prebuilt} does not load: ${firstLine(error)}; ${BUILD} against Python's TensorFlow`);
  }
}

/** A tfjs-node that npm installed: in this package, beside this package, or in the project. */
function findPrebuiltPackage() {
  const folders = [join(ROOT, 'node_modules'), findEnclosingModules(ROOT), ...findProjectModules()];
  const candidates = folders.filter((folder) => basename(folder) === 'node_modules').map((folder) => join(folder, NAME));
  return candidates.find((candidate) => existsSync(join(candidate, 'package.json')));
}

/** The node_modules folder that contains a package. @param {string} directory */
function findEnclosingModules(directory) {
  const parent = dirname(directory);
  return basename(parent).startsWith('@') ? dirname(parent) : parent;
}

/** The node_modules folder of the project in which this process was started. @returns {string[]} */
function findProjectModules() {
  let directory = process.cwd();
  while (!existsSync(join(directory, 'package.json'))) {
    if (dirname(directory) === directory) return [];
    directory = dirname(directory);
  }
  return [join(directory, 'node_modules')];
}

/**
 * Refuses native code that another user could have written. Systems without user ids are not checked.
 *
 * @param {string} directory of the package
 * @param {...string} beside other files that are loaded with it
 * @throws {Error} everybody may write one of the files, or another user owns it
 */
function assertOurs(directory, ...beside) {
  if (process.getuid === undefined) return;
  // The owner of this file can already make this process run any code.
  const trusted = new Set([0, process.getuid(), statSync(ROOT).uid]);
  const scope = dirname(directory);
  const folders = [
    dirname(dirname(scope)),
    dirname(scope),
    scope,
    directory,
    join(directory, 'lib'),
    dirname(join(directory, BINDING)),
  ];
  for (const path of [...folders, join(directory, 'package.json'), join(directory, BINDING), ...beside]) {
    // The link itself, and its target.
    for (const stats of [lstatSync(path, { throwIfNoEntry: false }), statSync(path, { throwIfNoEntry: false })]) {
      if (stats === undefined) continue;
      if (!trusted.has(stats.uid))
        throw new Error(
          `${path} belongs to another user (${stats.uid}), expected ${process.getuid()}; give it to yourself, or remove it`,
        );
      if (!stats.isSymbolicLink() && stats.mode & WRITABLE_BY_ALL)
        throw new Error(`everybody may write ${path}; take that away with \`chmod o-w\``);
    }
  }
}

/** @returns {TfjsNode} */
function loadBuilt() {
  const stamp = readStamp();
  assertStampFits(stamp);
  try {
    const directory = join(HOME, 'node_modules', NAME);
    const quiet = join(HOME, 'quiet.node');
    assertOurs(directory, quiet);
    if (!isLogLevelSet) requireFrom(HOME)(quiet);
    const loaded = openPackage(directory, 'built');
    if (loaded.tensorflow === stamp.tensorflow) return loaded;
    throw new Error(`it was built against TensorFlow ${stamp.tensorflow}, but ${stamp.library} is ${loaded.tensorflow}`);
  } catch (error) {
    throw new EnvironmentProblem(`the native library in ${HOME} does not load: ${firstLine(error)}; ${REBUILD}`);
  }
}

/** @returns {Stamp} */
function readStamp() {
  const path = join(HOME, 'built.json');
  if (!existsSync(path)) throw new NotBuilt(`the native backend is not built here; ${BUILD}`);
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    throw new EnvironmentProblem(`${path} is damaged; ${REBUILD}`);
  }
}

/** Checks that it was built for this machine, this Node and the current TensorFlow. @param {Stamp} stamp */
function assertStampFits({ tensorflow, library, library_size, system, node_api }) {
  const what = `the native library in ${HOME} was built`;
  const here = `${process.platform}-${machine()}`;
  if (system !== here || !(node_api <= Number(process.versions.napi))) {
    throw new EnvironmentProblem(
      `${what} for another Node (${system}, Node-API ${node_api}), this one is ${here}, ` +
        `Node-API ${process.versions.napi}; ${REBUILD}`,
    );
  }
  const { size } = statSync(library, { throwIfNoEntry: false }) ?? {};
  if (size === undefined) {
    throw new EnvironmentProblem(`${what} against TensorFlow ${tensorflow}, but ${library} is gone; ${REBUILD}`);
  }
  if (size !== library_size) {
    throw new EnvironmentProblem(`${what} against TensorFlow ${tensorflow}, but ${library} is another one now; ${REBUILD}`);
  }
}

/**
 * @param {string} directory of the package
 * @param {'prebuilt' | 'built'} origin
 * @returns {TfjsNode}
 */
function openPackage(directory, origin) {
  assertOurs(directory);
  const require = requireFrom(join(directory, 'package.json'));
  installNodeShims();
  // The binding first: if it does not load, tfjs-node has not registered anything yet.
  const binding = require(join(directory, BINDING));
  Object.assign(globalThis, { [SHARED_TFJS]: { ...tf, ...loadPackage('layers') } });
  const tfjs = require(directory);
  if (tf.findBackend('tensorflow') === null) {
    throw new Error('it has a copy of @tensorflow/tfjs-core of its own; `npm dedupe` leaves one');
  }
  return { tfjs, origin, package: directory, tensorflow: binding.TF_Version };
}

/** @param {unknown} error */
function firstLine(error) {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0];
}

/** Functions of `node:util` that tfjs-node 4.22 needs and newer versions of Node lack. */
const NODE_SHIMS = {
  // Most kernels use both for their attributes. Node 23 removed the first; Node 22 prints a deprecation
  // warning for either.
  isNullOrUndefined: (/** @type {unknown} */ value) => value === null || value === undefined,
  isArray: Array.isArray,
};

/** Puts the shims into `node:util`. Call this before tfjs-node runs. */
export function installNodeShims() {
  Object.assign(util, NODE_SHIMS);
}
