/** Whether this machine has the native backend, and why not where it has none. */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

const { status, stderr } = spawnSync(process.execPath, [join(root, 'node_bridge', 'backends', 'check_native.js')], {
  encoding: 'utf8',
});

/** For `node:test`: a test that needs it says loudly that it did not run. */
export const native = { skip: status === 0 ? false : `NOT TESTED HERE: ${stderr.trim().replace('error: ', '')}` };
