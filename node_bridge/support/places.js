/**
 * Where this package's files are, and where it keeps what it makes once for all projects of a user: never
 * in its own directory.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { EnvironmentProblem } from './errors.js';

/** A file of this package, by which its directory is known. */
const OWN_FILE = join('node_bridge', 'support', 'places.js');

/** @type {string | undefined} */
let root;

/**
 * A file of this package. Its code may be in the bundle of a bundler, anywhere; its files are where npm
 * put them.
 *
 * @param {...string} path below the directory of the package
 * @returns {string}
 * @throws {EnvironmentProblem} the program is bundled, and the package is not there where it runs
 */
export function packageFile(...path) {
  root ??= findRoot();
  return join(root, ...path);
}

/**
 * A `require` that searches from a file, for packages that a bundler leaves where they are. Not imported:
 * webpack takes each call of an imported `createRequire` for its own, and leaves none in its output.
 *
 * @param {string} file need not exist
 */
export function requireFrom(file) {
  return process.getBuiltinModule('node:module').createRequire(file);
}

/** The directory of this package. */
function findRoot() {
  // A bundler that writes CommonJS has no import.meta.url, but __filename.
  const here = import.meta.url === undefined ? __filename : fileURLToPath(import.meta.url);
  const own = dirname(dirname(dirname(here)));
  if (existsSync(join(own, OWN_FILE))) return own;
  for (const from of [here, join(process.cwd(), 'program.js')]) {
    try {
      return dirname(requireFrom(from).resolve('bert-bridge/package.json'));
    } catch {
      // Not from there.
    }
  }
  throw new EnvironmentProblem(
    `${here} is a bundled program, which needs the files of the package bert-bridge: expected node_modules/bert-bridge ` +
      'beside it or in the working directory; install it there, or let the bundler leave it out (external)',
  );
}

/** The user's cache directory of this package. */
export function cacheDirectory() {
  return join(userCache(), 'bert-bridge');
}

/** The user's cache directory, as each system has it. */
function userCache() {
  const { XDG_CACHE_HOME = '', LOCALAPPDATA = '' } = process.env;
  // The XDG specification: a relative path is invalid and ignored.
  if (isAbsolute(XDG_CACHE_HOME)) return XDG_CACHE_HOME;
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches');
  if (process.platform === 'win32' && isAbsolute(LOCALAPPDATA)) return LOCALAPPDATA;
  return join(homedir(), '.cache');
}

/** Where the native backend is built: in a clone in its own directory, else in the cache. */
export function nativeHome() {
  const isInstalled = basename(dirname(packageFile())) === 'node_modules';
  return isInstalled ? join(cacheDirectory(), 'native') : packageFile('.nox', 'native');
}
