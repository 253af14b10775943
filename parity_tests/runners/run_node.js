/**
 * Computes Node's answers on one backend; run_python.py is the counterpart. runs.py describes the output.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { ANSWERS } from '../../node_bridge/classifier/decisions/answers.js';
import { BundleHead } from '../../node_bridge/classifier/decisions/bundle_head.js';
import { findMostProbable } from '../../node_bridge/classifier/evaluation/evaluation.js';
import { Head } from '../../node_bridge/classifier/head.js';
import { Encoder } from '../../node_bridge/encoder/encoder.js';
import { backendOption } from '../../node_bridge/model_options.js';
import { maxLengthOption, requiredBundleOption } from '../../node_bridge/shared_options.js';
import { runCommand } from '../../node_bridge/support/command_line.js';
import { UserError } from '../../node_bridge/support/errors.js';
import {
  customOption,
  flagOption,
  parseWholeNumber,
  requiredOption,
  textOption,
  wholeNumberOption,
} from '../../node_bridge/support/options.js';
import { toJsonLine } from '../../node_bridge/support/printable.js';
import { writeSafetensors } from '../../node_bridge/support/safetensors.js';
import { Tokenizer } from '../../node_bridge/tokenizer/index.js';
import { computeInvariances } from './invariances.js';
import { runLongBatch, stackRows } from './long_texts.js';

/** How many texts of the first batch the invariances use: few, since some backends are slow. */
const FEW = 4;

const DESCRIPTION = `Runs the cases of a parity test through a bundle.

  node parity_tests/runners/run_node.js --bundle DIR --cases cases.jsonl --out wasm.safetensors
`;

const OPTIONS = {
  bundle: requiredBundleOption,
  cases: requiredOption({ value: 'FILE', help: 'the texts of each batch' }),
  out: textOption({ value: 'FILE', help: 'gets the answers; needed without --show' }),
  backend: { ...backendOption, default: 'wasm' },
  batches: wholeNumberOption({
    help: 'takes only the first N batches of the case file',
    default: Infinity,
    defaultText: 'all',
  }),
  taps: customOption({
    value: 'N,N',
    help: "batches for which the bundle's taps are written too",
    default: new Set(),
    defaultText: 'none',
    parse: (typed, name) => new Set(typed.split(',').map((one) => parseWholeNumber(name, one, 0))),
  }),
  classifier: textOption({ value: 'DIR', help: 'also give the probabilities of this classifier' }),
  maxLength: maxLengthOption('all that the model has'),
  answersAlone: flagOption('with special tokens, and no invariances; a classifier reads long texts as in its training'),
  show: textOption({
    value: 'NAME',
    help:
      'print one value instead of writing a file: added.b000.tokens[0], added.b000.sequence_output[0,2,7], ' +
      'weights/NAME[3,4]',
  }),
};

/** @typedef {{text: string, pair?: string, max_length?: number}} CaseText `max_length`: cut there */
/** @typedef {{case: number, batch: number} & CaseText} CaseRecord */
/** @typedef {import('../../node_bridge/support/safetensors.js').Tensor} Tensor */

await runCommand({ description: DESCRIPTION, options: OPTIONS, main });

/** @param {import('../../node_bridge/support/options.js').Values<typeof OPTIONS>} options */
async function main(options) {
  const { bundle: dir, cases, out, backend, batches, taps: tapped, classifier: head, show, answersAlone: alone } = options;
  if ((out ?? show) === undefined) throw new UserError('Expected --out or --show; try --help.');
  const bundle = Bundle.open(dir);
  const tokenizer = Tokenizer.fromBundle(bundle);
  const encoder = await Encoder.load(bundle, { backend });
  const classifier = head === undefined ? undefined : await Head.load(head, bundle);
  const groups = readBatches(cases).slice(0, batches);
  const { max_length: limit } = bundle.contract;
  const maxLength = options.maxLength === undefined ? limit : parseWholeNumber('--max-length', options.maxLength, 1, limit);
  const own = bundle.contract.classifier && !classifier ? new BundleHead(bundle.contract.classifier, limit) : undefined;
  const tools = { tokenizer, encoder, classifier, own, maxLength };

  /** @type {Record<string, Tensor>} */
  const tensors = {};
  /** @type {Record<string, string[][]>} */
  const tokens = {};
  /** @type {Record<string, [number, number][][]>} */
  const offsets = {};
  /** @type {Record<string, string[][]>} */
  const labels = {};
  for (const special of alone ? ['added'] : ['added', 'none']) {
    for (const [index, texts] of groups.entries()) {
      const prefix = `${special}.b${String(index).padStart(3, '0')}`;
      const answers =
        alone && classifier?.description?.long !== undefined
          ? await runLongBatch(texts, { tokenizer, encoder, classifier })
          : await runBatch(texts, special === 'added', tapped.has(index), tools);
      tokens[prefix] = answers.tokens;
      offsets[prefix] = answers.offsets;
      if (answers.labels !== undefined) labels[prefix] = answers.labels;
      for (const [name, { shape, data }] of Object.entries(answers.tensors)) {
        const dtype = data instanceof Int32Array ? 'I32' : 'F32';
        tensors[`${prefix}.${name}`] = { dtype, shape, data };
      }
      process.stderr.write(`${backend}: special tokens ${special}, batch ${index + 1} of ${groups.length}\n`);
    }
  }
  if (show !== undefined) {
    const weight = show.startsWith('weights/') ? await readWeight(encoder, show.split('[')[0]) : {};
    process.stdout.write(`${formatValue(show, { ...tensors, ...weight }, { tokens, labels })}\n`);
    return;
  }
  if (!alone) {
    const few = groups[0]
      .slice(0, FEW)
      .map((text) => tokenizer.encode(text.text, { pair: text.pair, maxLength: limitLength(text, maxLength) }));
    Object.assign(tensors, await computeInvariances(encoder, few));
  }
  const answers = { versions: readVersions(encoder.backend), kind: encoder.kind, tokens, offsets, labels };
  const metadata = Object.entries(answers).map(([name, value]) => [name, JSON.stringify(value)]);
  writeSafetensors(/** @type {string} */ (out), tensors, Object.fromEntries(metadata));
}

/**
 * How many positions a case is cut to.
 *
 * @param {CaseText} text
 * @param {number} most
 */
function limitLength(text, most) {
  return Math.min(text.max_length ?? most, most);
}

/**
 * Computes tokens, ids, outputs and probabilities of one padded batch.
 *
 * @param {CaseText[]} texts
 * @param {boolean} specialTokens whether to add [CLS] and [SEP]
 * @param {boolean} tapped whether to return the bundle's taps too
 * @param {{tokenizer: Tokenizer, encoder: Encoder, classifier?: Head, own?: BundleHead, maxLength: number}} tools
 *   `own`: the bundle decides by itself
 * @returns {Promise<{tokens: string[][], offsets: [number, number][][], labels?: string[][],
 *   tensors: Record<string, {shape: number[], data: Float32Array | Int32Array}>}>}
 */
async function runBatch(texts, specialTokens, tapped, { tokenizer, encoder, classifier, own, maxLength }) {
  const { outputs: specs, taps = [] } = encoder.bundle.contract;
  const encodings = texts.map((text) =>
    tokenizer.encodeWithTokens(text.text, { pair: text.pair, specialTokens, maxLength: limitLength(text, maxLength) }),
  );
  const nodes = specs.map(({ name }) => name);
  if (tapped && encoder.kind === 'graph_model') nodes.push(...taps.map(({ node }) => node));
  const outputs = await encoder.run(encodings, undefined, nodes);
  const result = {
    tokens: encodings.map(({ tokens }) => tokens),
    offsets: encodings.map(({ offsets }) => offsets),
  };
  const tensors = { ...encoder.pad(encodings), ...outputs };
  if (own !== undefined) {
    const { labels, probabilities } = await decideBatch(own, outputs[own.output], encodings);
    return { ...result, labels, tensors: { ...tensors, probabilities } };
  }
  if (classifier === undefined) return { ...result, tensors };
  const sequence = specs.find(({ role }) => role === 'sequence_output')?.name ?? '';
  const rows = await classifier.probabilities(classifier.inputsOf(outputs[sequence], encodings));
  const labels = rows.map((row) => [classifier.labelOf(row)]);
  return { ...result, labels, tensors: { ...tensors, probabilities: stackRows(rows) } };
}

/**
 * Computes the probabilities of a bundle that decides by itself, and what it decides for each text.
 *
 * @param {BundleHead} head
 * @param {{shape: number[], data: Float32Array | Int32Array}} scores float32[batch, labels], or float32[batch, sequence, labels] if it labels tokens
 * @param {{ids: Int32Array}[]} encodings
 */
async function decideBatch(head, { shape, data }, encodings) {
  const ofTokens = head.problemType === 'token_labels';
  const answers = await head.probabilities(splitRows(Float32Array.from(data), encodings.length));
  // Of tokens the library computes no more probabilities than it needs.
  const texts = ofTokens
    ? answers.map((row) => splitRows(Float32Array.from(row), row.length / head.labels.length).map(head.activate))
    : answers.map((row) => [row]);
  const probabilities = { shape, data: Float32Array.from(texts.flat().flatMap((row) => [...row])) };
  const labels = encodings.map(({ ids }, text) => {
    if (!ofTokens) return decideText(head, texts[text][0]);
    return texts[text].slice(0, ids.length).map((row) => head.labels[findMostProbable(row)]);
  });
  return { labels, probabilities };
}

/** Splits data into equal rows. @param {Float32Array} data @param {number} count */
function splitRows(data, count) {
  const width = data.length / count;
  return Array.from({ length: count }, (_, row) => data.subarray(row * width, (row + 1) * width));
}

/**
 * What the library answers, one decision after the other: a label; or for each label itself or `''`.
 *
 * @param {BundleHead} head
 * @param {import('../../node_bridge/classifier/decisions/bundle_head.js').Row} row
 * @returns {string[]}
 */
function decideText(head, row) {
  if (head.problemType === 'regression') return [];
  const answer = /** @type {{label?: string, labels?: string[]}} */ (
    ANSWERS[head.problemType === 'multi_label' ? 'multi_label' : 'single_label'](row, head, 0)
  );
  if (answer.label !== undefined) return [answer.label];
  return head.labels.map((label) => (answer.labels?.includes(label) ? label : ''));
}

/**
 * Reads the texts of each batch. Only \n ends a line; Node's readline would also split at U+2028.
 *
 * @param {string} path
 * @returns {CaseText[][]}
 */
function readBatches(path) {
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  /** @type {CaseText[][]} */
  const groups = [];
  for (const line of lines) {
    const { batch, ...text } = /** @type {CaseRecord} */ (JSON.parse(line));
    groups[batch] ??= [];
    groups[batch].push(text);
  }
  if (groups.length === 0) throw new UserError(`${path} holds no cases: nothing would be compared`);
  return groups;
}

/**
 * Reads a weight from the backend by its name.
 *
 * @param {Encoder} encoder
 * @param {string} name
 */
async function readWeight(encoder, name) {
  return encoder.run([{ ids: Int32Array.of(0), typeIds: Int32Array.of(0) }], undefined, [name]);
}

/**
 * Formats one value for --show.
 *
 * @param {string} asked a name, and in brackets the indices
 * @param {Record<string, {shape: number[], data: ArrayLike<number>}>} tensors
 * @param {Record<string, Record<string, any[]>>} lists
 */
function formatValue(asked, tensors, lists) {
  const [, name, position = '0'] = /^(.*?)(?:\[([\d,]+)\])?$/.exec(asked) ?? [];
  const index = position.split(',').map(Number);
  const [, prefix, list] = /^(.*)\.(tokens|labels)$/.exec(name) ?? [];
  if (list !== undefined) return toJsonLine(lists[list][prefix]?.[index[0]]);
  const tensor = tensors[name];
  if (tensor === undefined) {
    throw new UserError(`--show: got ${name}, expected one of ${Object.keys(tensors).join(', ')}`);
  }
  const at = index.reduce((sum, value, axis) => sum * tensor.shape[axis] + value, 0);
  return tensor.data[at];
}

/** @param {string} backend */
function readVersions(backend) {
  const require = createRequire(import.meta.url);
  const core = require.resolve('@tensorflow/tfjs-core/package.json');
  const tfjs = JSON.parse(readFileSync(core, 'utf8')).version;
  return { node: process.versions.node, tfjs, backend };
}
