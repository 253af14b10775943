/**
 * Prints as JSON which tfjs-node the native backend uses here, and which TensorFlow it runs. If there is
 * none, prints the reason on stderr and ends with exit code 3. `native/` runs this program.
 *
 *     node node_bridge/backends/check_native.js
 */
import { runCommand } from '../support/command_line.js';
import { loadLibrary } from './native.js';

const DESCRIPTION =
  'Says which TensorFlow the native backend runs here, as JSON.\n\n  node node_bridge/backends/check_native.js\n';

await runCommand({
  description: DESCRIPTION,
  options: {},
  async main() {
    const { tfjs, ...said } = loadLibrary();
    process.stdout.write(`${JSON.stringify(said)}\n`);
  },
});
