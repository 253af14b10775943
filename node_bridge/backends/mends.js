/**
 * What tfjs-node 4.22 takes from Node and newer ones no longer have, given back from outside.
 * Each entry says who needs it.
 */
import util from 'node:util';

const MENDS = {
  // Most kernels ask these about their attributes. Node 23 removed the first; Node 22 prints a
  // deprecation warning for either.
  isNullOrUndefined: (/** @type {unknown} */ value) => value === null || value === undefined,
  isArray: Array.isArray,
};

/** Call before tfjs-node runs anything. */
export function mend() {
  Object.assign(util, MENDS);
}
