/** A bundle whose model only looks ids up in a table: its outputs are known by arithmetic, and 100,000 texts take seconds. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const embedded = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'artifacts', 'bundle', 'albert_tiny');

/** Width of a vector. */
export const WIDTH = 4;

/** The vector of an id, float32[width]. @param {number} id @param {number} [width] */
export function vectorOf(id, width = WIDTH) {
  return Float32Array.from({ length: width }, (_, i) => (((id + 1) * (31 + 7 * i)) % 97) / 97 - 0.5);
}

/**
 * Writes it, with the tokenizer of the embedded bundle. Outputs: `sequence_output`, each id's vector;
 * `pooled_output`, the largest over all positions in each place; `scores`, float32[batch, sequence,
 * sequence], the dot products of a text's vectors.
 *
 * With `classifier` the model decides too. Each id has a score for each label, from a table of its own; the
 * output `logits` has them for each token, or their largest over all positions for each text.
 *
 * @param {string} dir
 * @param {object} [options]
 * @param {number} [options.width] of a vector
 * @param {number} [options.fixedLength] positions that it says it always takes
 * @param {number} [options.nanOf] an id whose vector is NaN
 * @param {Omit<import('../../node_bridge/bundle/bundle.js').ClassifierContract, 'output'>} [options.classifier]
 * @param {Record<string, number[]>} [options.scores] of tokens, in the order of the labels; of all other
 *   tokens `otherScores`
 * @param {number[]} [options.otherScores]
 */
export function writeToyBundle(dir, { width = WIDTH, fixedLength, nanOf, classifier, scores = {}, otherScores = [] } = {}) {
  const contract = JSON.parse(readFileSync(join(embedded, 'bundle.json'), 'utf8'));
  const { vocab_size: size } = contract.tokenizer;
  const table = new Float32Array(size * width);
  for (let id = 0; id < size; id += 1) table.set(id === nanOf ? new Array(width).fill(NaN) : vectorOf(id, width), id * width);
  const float = { type: 'DT_FLOAT' };
  const int = { type: 'DT_INT32' };
  const sizes = [{ size: '-1' }, { size: '-1' }];
  const dims = (/** @type {number[]} */ ...shape) => ({ dim: shape.map((n) => ({ size: String(n) })) });
  const constant = (/** @type {string} */ name, /** @type {any} */ dtype, /** @type {any} */ tensorShape) => ({
    name,
    op: 'Const',
    attr: { dtype, value: { tensor: { dtype: dtype.type, tensorShape } } },
  });
  const node = [
    { name: 'input_ids', op: 'Placeholder', attr: { dtype: int, shape: { shape: { dim: sizes } } } },
    constant('weights/table', float, dims(size, width)),
    constant('zero', int, {}),
    constant('one', int, {}),
    {
      name: 'sequence_output',
      op: 'GatherV2',
      input: ['weights/table', 'input_ids', 'zero'],
      attr: { Tparams: float, Tindices: int, Taxis: int, batch_dims: { i: '0' } },
    },
    {
      name: 'pooled_output',
      op: 'Max',
      input: ['sequence_output', 'one'],
      attr: { T: float, Tidx: int, keep_dims: { b: false } },
    },
    {
      name: 'scores',
      op: 'BatchMatMulV2',
      input: ['sequence_output', 'sequence_output'],
      attr: { T: float, adj_x: { b: false }, adj_y: { b: true } },
    },
  ];
  const labels = classifier?.labels.length ?? 0;
  const ofTokens = classifier?.task === 'token_labels';
  const vocab = readFileSync(join(embedded, 'vocab.txt'));
  const scoreTable = new Float32Array(size * labels);
  vocab
    .toString('utf8')
    .split('\n')
    .slice(0, size)
    .forEach((token, id) => scoreTable.set((scores[token] ?? otherScores).slice(0, labels), id * labels));
  if (classifier !== undefined) {
    node.push(constant('weights/scores', float, dims(size, labels)), {
      name: ofTokens ? 'logits' : 'token_logits',
      op: 'GatherV2',
      input: ['weights/scores', 'input_ids', 'zero'],
      attr: { Tparams: float, Tindices: int, Taxis: int, batch_dims: { i: '0' } },
    });
    if (!ofTokens) {
      const attr = { T: float, Tidx: int, keep_dims: { b: false } };
      node.push({ name: 'logits', op: 'Max', input: ['token_logits', 'one'], attr });
    }
  }
  const weights = [
    { name: 'weights/table', dtype: 'float32', shape: [size, width] },
    ...(classifier === undefined ? [] : [{ name: 'weights/scores', dtype: 'float32', shape: [size, labels] }]),
    { name: 'zero', dtype: 'int32', shape: [] },
    { name: 'one', dtype: 'int32', shape: [] },
  ];
  const model = {
    format: 'graph-model',
    modelTopology: { node, versions: { producer: 1 } },
    weightsManifest: [{ paths: ['group1-shard1of1.bin'], weights }],
  };
  /** @type {Record<string, Uint8Array>} */
  const files = {
    'model.json': Buffer.from(JSON.stringify(model)),
    'group1-shard1of1.bin': Buffer.concat([table, scoreTable, Int32Array.of(0, 1)].map(({ buffer }) => Buffer.from(buffer))),
    'vocab.txt': vocab,
    'tokenizer_tables.bin': readFileSync(join(embedded, 'tokenizer_tables.bin')),
  };
  const sums = Object.entries(files).map(([name, bytes]) => [
    name,
    { sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length },
  ]);
  const sequence = fixedLength ?? 'sequence';
  const output = (/** @type {string} */ name, /** @type {(string | number)[]} */ ...shape) => ({
    name,
    role: name,
    dtype: 'float32',
    shape: ['batch', ...shape],
  });
  mkdirSync(dir, { recursive: true });
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(dir, name), bytes);
  writeFileSync(
    join(dir, 'bundle.json'),
    JSON.stringify({
      ...contract,
      name: 'toy',
      inputs: [{ name: 'input_ids', role: 'input_ids', dtype: 'int32', shape: ['batch', sequence] }],
      outputs: [
        ...(classifier === undefined ? [] : [output('logits', ...(ofTokens ? [sequence, labels] : [labels]))]),
        output('pooled_output', width),
        output('scores', 'sequence', 'sequence'),
        output('sequence_output', 'sequence', width),
      ],
      max_length: fixedLength ?? contract.max_length,
      taps: [],
      ...(classifier === undefined ? {} : { classifier: { output: 'logits', ...classifier } }),
      files: Object.fromEntries(sums),
    }),
  );
}

const SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/**
 * A contract that says as little as one may: of a tokenizer alone, as the first release wrote it.
 *
 * @param {Record<string, {sha256: string, size: number}>} files
 * @returns {any}
 */
export function leastContract(files) {
  const special = Object.fromEntries(
    ['pad', 'unk', 'cls', 'sep', 'mask'].map((role, id) => [role, { token: `[${role.toUpperCase()}]`, id }]),
  );
  return {
    format: 'bert-bridge',
    contract_version: 2,
    contents: 'tokenizer',
    name: 'least',
    architecture: null,
    trained: null,
    weight_dtype: null,
    inputs: [],
    outputs: [],
    padding: 'masked',
    max_length: 512,
    tokenizer: {
      algorithm: 'bert',
      options: { lower_case: true },
      vocab_size: 5,
      special_tokens: special,
      source_adds_special_tokens: false,
    },
    provenance: { vocab: { sha256: SHA256 }, versions: { 'bert-bridge': 'x' } },
    files,
  };
}
