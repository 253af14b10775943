/**
 * Node's answers on one backend (pairs with run_python.py). Writes what runs.py describes.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { Bundle } from '../node_bridge/bundle.js';
import { Classifier } from '../node_bridge/classifier.js';
import { run } from '../node_bridge/cli.js';
import { Encoder } from '../node_bridge/encoder.js';
import { UserError } from '../node_bridge/errors.js';
import { writeSafetensors } from '../node_bridge/safetensors.js';
import { Tokenizer } from '../node_bridge/tokenizer/index.js';

const HELP = `Runs the cases of a parity test through a bundle.

  node parity_tests/run_node.js --bundle DIR --cases cases.jsonl --out wasm.safetensors
    --backend NAME     TF.js backend (default wasm)
    --batches N        take only the first N batches of the case file
    --classifier DIR   also give the probabilities of this classifier
`;

/** @typedef {{case: number, batch: number, text: string}} Case */
/** @typedef {import('../node_bridge/safetensors.js').Tensor} Tensor */

await run({
  help: HELP,
  options: {
    bundle: { type: 'string' },
    cases: { type: 'string' },
    out: { type: 'string' },
    backend: { type: 'string', default: 'wasm' },
    batches: { type: 'string', default: 'Infinity' },
    classifier: { type: 'string' },
  },
  main,
});

/** @param {Record<string, string>} options */
async function main({ bundle: dir, cases, out, backend, batches, classifier: head }) {
  for (const [name, value] of Object.entries({ bundle: dir, cases, out })) {
    if (value === undefined) throw new UserError(`Expected --${name}; try --help.`);
  }
  const bundle = Bundle.open(dir);
  const tokenizer = Tokenizer.fromBundle(bundle);
  const encoder = await Encoder.load(bundle, { backend });
  const classifier = head === undefined ? undefined : await Classifier.load(head, bundle);
  const groups = readBatches(cases).slice(0, Number(batches));

  /** @type {Record<string, Tensor>} */
  const tensors = {};
  for (const special of ['added', 'none']) {
    for (const [index, texts] of groups.entries()) {
      const answers = await answer(texts, special === 'added', { tokenizer, encoder, classifier });
      const prefix = `${special}.b${String(index).padStart(3, '0')}`;
      for (const [name, { shape, data }] of Object.entries(answers)) {
        const dtype = data instanceof Int32Array ? 'I32' : 'F32';
        tensors[`${prefix}.${name}`] = { dtype, shape, data };
      }
      process.stderr.write(`${backend}: special tokens ${special}, batch ${index + 1} of ${groups.length}\n`);
    }
  }
  writeSafetensors(out, tensors, { versions: JSON.stringify(versions(backend)) });
}

/**
 * Ids, outputs and probabilities of one padded batch.
 *
 * @param {string[]} texts
 * @param {boolean} specialTokens
 * @param {{tokenizer: Tokenizer, encoder: Encoder, classifier?: Classifier}} tools
 * @returns {Promise<Record<string, {shape: number[], data: Float32Array | Int32Array}>>}
 */
async function answer(texts, specialTokens, { tokenizer, encoder, classifier }) {
  const maxLength = encoder.bundle.contract.max_length;
  const encodings = texts.map((text) => tokenizer.encode(text, { specialTokens, maxLength }));
  const outputs = await encoder.run(encodings);
  const answers = { ...encoder.pad(encodings), ...outputs };
  if (classifier === undefined) return answers;
  const rows = await classifier.probabilities(firstPositions(encoder, outputs, texts.length));
  return { ...answers, probabilities: stack(rows) };
}

/**
 * Position 0 of `sequence_output`, float32[hidden] for each text.
 *
 * @param {Encoder} encoder
 * @param {Record<string, {shape: number[], data: Float32Array}>} outputs
 * @param {number} count
 */
function firstPositions(encoder, outputs, count) {
  const spec = encoder.bundle.contract.outputs.find(({ role }) => role === 'sequence_output');
  const { shape, data } = outputs[spec?.name ?? ''];
  const [, sequence, hidden] = shape;
  return Array.from({ length: count }, (_, row) => {
    const start = row * sequence * hidden;
    return data.slice(start, start + hidden);
  });
}

/** @param {Float32Array[]} rows of one length */
function stack(rows) {
  const width = rows[0].length;
  const data = new Float32Array(rows.length * width);
  rows.forEach((row, index) => data.set(row, index * width));
  return { shape: [rows.length, width], data };
}

/**
 * The texts of each batch. Only \n ends a line; Node's readline would also split at U+2028.
 *
 * @param {string} path
 * @returns {string[][]}
 */
function readBatches(path) {
  const lines = readFileSync(path, 'utf8').split('\n').filter((line) => line !== '');
  /** @type {string[][]} */
  const groups = [];
  for (const line of lines) {
    const { batch, text } = /** @type {Case} */ (JSON.parse(line));
    (groups[batch] ??= []).push(text);
  }
  if (groups.length === 0) throw new UserError(`${path} holds no cases: nothing would be compared`);
  return groups;
}

/** @param {string} backend */
function versions(backend) {
  const require = createRequire(import.meta.url);
  const core = require.resolve('@tensorflow/tfjs-core/package.json');
  const tfjs = JSON.parse(readFileSync(core, 'utf8')).version;
  return { node: process.versions.node, tfjs, backend };
}
