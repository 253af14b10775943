/** The commands of `bert-bridge`. */
import { nativeHome } from '../node_bridge/support/places.js';

/**
 * @typedef {object} Command
 * @property {string} help one line
 * @property {string[]} [python] the module of Python and its first arguments; else it is a program of
 *   node_bridge/ with the command's name
 */

/** @type {Record<string, Command>} by name */
export const COMMANDS = {
  export: {
    help: 'a model and its vocab → a bundle; without arguments the embedded default → ./artifacts',
    python: ['export'],
  },
  build: { help: 'a checkpoint (Hugging Face, TF1) → a SavedModel, which `export model` takes', python: ['export', 'build'] },
  vocab: { help: 'a vocab → a bundle of a tokenizer alone', python: ['export', 'vocab'] },
  inspect: { help: 'what a model is, and whether it can be exported; runs nothing of it', python: ['export', 'inspect'] },
  catalog: { help: 'the models of the collection', python: ['export', 'catalog'] },
  parity: { help: 'Python against Node on the same cases → ./artifacts/parity', python: ['parity_tests'] },
  native: { help: 'builds TensorFlow for Node against Python’s', python: ['native', '--directory', nativeHome()] },
  tokenize: { help: 'texts on stdin → ids and tokens, JSON lines' },
  encode: { help: 'texts on stdin → vectors, safetensors' },
  train: { help: 'labelled texts → a classifier' },
  evaluate: { help: 'labelled texts → accuracy, each label, the wrong texts' },
  predict: { help: 'texts → labels, JSON lines' },
  verify: { help: 'checks a bundle or a classifier on this machine' },
};
