/**
 * TF.js. Its packages are CommonJS of up to a megabyte each, and Node searches the source of a
 * CommonJS package that is imported for the names it exports: that takes several times as long
 * as to load it. So they are required, and all of them here.
 */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/**
 * @typedef {object} Packages
 * @property {typeof import('@tensorflow/tfjs-core')} core
 * @property {typeof import('@tensorflow/tfjs-converter')} converter
 * @property {typeof import('@tensorflow/tfjs-layers')} layers
 * @property {typeof import('@tensorflow/tfjs-backend-cpu')} backend-cpu
 * @property {typeof import('@tensorflow/tfjs-backend-wasm')} backend-wasm
 */

/**
 * A package of TF.js, loaded when it is first asked for.
 *
 * @template {keyof Packages} Name
 * @param {Name} name
 * @returns {Packages[Name]}
 */
export function load(name) {
  return require(`@tensorflow/tfjs-${name}`);
}

export const tf = load('core');
