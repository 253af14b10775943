/**
 * `npm start` and `npm test`: creates a private environment in .venv with nox and uv, then runs nox.
 *
 *     node bootstrap.js export train parity
 */
import { join } from 'node:path';

import { assertNode, assertPythonPlatform, ROOT } from './launcher/machine.js';
import { makeEnvironment, programOf, runOrExit } from './launcher/python.js';
import { describeFailure } from './node_bridge/support/errors.js';

const venv = join(ROOT, '.venv');
try {
  assertNode();
  assertPythonPlatform('`npm ci`, then `node node_bridge/predict.js` and the others, with a bundle that was made elsewhere');
  makeEnvironment('tools', venv);
} catch (error) {
  const { line, exitCode } = describeFailure(error);
  console.error(`error: ${line}`);
  process.exit(exitCode);
}
runOrExit(programOf(venv, 'nox'), ['-s', ...process.argv.slice(2)], { cwd: ROOT });
