/** The packages that bench/peers/installing.py put under .nox/bench. */
import { createRequire } from 'node:module';

export const requirePeer = createRequire(new URL('../../.nox/bench/node/package.json', import.meta.url));
