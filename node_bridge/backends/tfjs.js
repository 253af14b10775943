/**
 * Loads TF.js. Its packages are CommonJS of up to a megabyte each. When such a package is imported, Node
 * searches its source for exported names, which takes several times as long as loading it. So this
 * file, and no other, requires them.
 */
import { packageFile, requireFrom } from '../support/places.js';

const require = requireFrom(packageFile('package.json'));

/**
 * @typedef {object} Packages
 * @property {typeof import('@tensorflow/tfjs-core')} core
 * @property {typeof import('@tensorflow/tfjs-converter')} converter
 * @property {typeof import('@tensorflow/tfjs-layers')} layers
 * @property {typeof import('@tensorflow/tfjs-backend-cpu')} backend-cpu
 * @property {typeof import('@tensorflow/tfjs-backend-wasm')} backend-wasm
 */

/**
 * Loads a package of TF.js at its first use.
 *
 * @template {keyof Packages} Name
 * @param {Name} name
 * @returns {Packages[Name]}
 */
export function loadPackage(name) {
  return require(`@tensorflow/tfjs-${name}`);
}

export const tf = loadPackage('core');
