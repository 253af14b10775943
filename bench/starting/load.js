/**
 * Loads a bundle on wasm and prints the peak memory of the process in bytes: `node load.js [BUNDLE]`.
 * Without a bundle: the peak memory of Node with TF.js and the backend.
 */
import { useBackend } from '../../node_bridge/backends/index.js';
import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { Encoder } from '../../node_bridge/encoder/encoder.js';

const [dir] = process.argv.slice(2);
if (dir === undefined) await useBackend('wasm');
else await Encoder.load(Bundle.open(dir), { backend: 'wasm' });
console.log(process.resourceUsage().maxRSS * 1024);
