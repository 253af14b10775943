/** Where this package keeps what it makes once for all projects of a user: never in its own directory. */
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

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
  const isInstalled = basename(dirname(ROOT)) === 'node_modules';
  return isInstalled ? join(cacheDirectory(), 'native') : join(ROOT, '.nox', 'native');
}
