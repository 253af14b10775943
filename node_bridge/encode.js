/**
 * `node node_bridge/encode.js` encodes texts as tensors. First it reads all texts and stores their ids on
 * disk; then it encodes them batch by batch and writes each row to the output file at once. So its
 * memory does not depend on the number of texts.
 */
import { statfsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, resolve } from 'node:path';

import { Bundle } from './bundle/bundle.js';
import { readTrustedKeys } from './bundle/signature.js';
import { parseEncoding } from './data/encodings.js';
import { mapStdinTexts } from './data/text_stream.js';
import { findFixedSize } from './encoder/encoder.js';
import { openEncoders } from './encoder/encoder_pool.js';
import { forEachBatch } from './encoder/features.js';
import { EncodingSpool } from './encoder/id_spool.js';
import { OutputRows, VectorRows } from './encoder/output_rows.js';
import { POOLING_NAMES, parsePooling } from './encoder/pooling.js';
import { runCommand, parseWholeNumber } from './support/command_line.js';
import { withLocation, UserError } from './support/errors.js';
import { assertFilePath } from './support/files.js';
import { printMessages } from './support/printing.js';
import { startProgress } from './support/progress.js';
import { RowFile } from './support/safetensors.js';
import { Tokenizer } from './tokenizer/index.js';

/** The output of a sentence-transformers model with one vector per text; its sequence output is far larger. */
const SENTENCE_OUTPUT = 'sentence_embedding';

const HELP = `Encodes texts, a row for each in order. Writes the model's outputs by their names, padded with
zeros to the longest text, with input_ids and attention_mask (1 at a text's positions); or with
--pooling one vector a text. Memory does not depend on the number of texts.

  node node_bridge/encode.js --bundle artifacts/bundle/albert_tiny --out vectors.safetensors < texts.txt
  node node_bridge/encode.js --bundle artifacts/bundle/albert_tiny --pooling mean --normalize \\
    --workers 4 --out vectors.safetensors < texts.txt

  --bundle DIR          the bundle
  --out FILE            safetensors
  --pooling NAME        one vector a text, as the tensor sentence_embedding, float32[texts, hidden]:
                          cls       position 0 of sequence_output
                          mean      the mean of sequence_output over the text's positions, [CLS] and
                                    [SEP] included, padding not; summed in float64
                          pooled    pooled_output
                        or, padded as above:
                          sequence  sequence_output alone
  --normalize           divides each vector by its L2 norm
  --outputs NAME,NAME   outputs of the model to write, or all; by default all, and of a bundle
                        with a sentence_embedding that alone
  --max-length N        positions a text is cut to, [CLS] and [SEP] counted; the model's by default
  --workers N           encoders at a time on wasm and cpu, each with the model in memory; default 1,
                        for many texts one a core is fastest. Results do not depend on it
  --backend NAME        auto (default), native, wasm or cpu
  --require-signature FILE
                        refuse a bundle that none of the public keys (PEM) in FILE has signed
  --no-special-tokens   without [CLS] and [SEP]
  --jsonl               stdin holds objects with \`text\`, or \`sentence1\` and \`sentence2\`, or other
                        usual names for these
  --encoding NAME       of stdin: utf-8 (default), gb18030, gbk, big5, utf-16
  -h, --help
`;

await runCommand({
  help: HELP,
  options: {
    bundle: { type: 'string' },
    out: { type: 'string' },
    pooling: { type: 'string' },
    normalize: { type: 'boolean', default: false },
    outputs: { type: 'string' },
    'max-length': { type: 'string' },
    workers: { type: 'string', default: '1' },
    backend: { type: 'string', default: 'auto' },
    'no-special-tokens': { type: 'boolean', default: false },
    jsonl: { type: 'boolean', default: false },
    encoding: { type: 'string', default: 'utf-8' },
    'require-signature': { type: 'string' },
  },
  main,
});

/** @param {Record<string, any>} options */
async function main(options) {
  const { bundle: dir, out, backend } = options;
  if (dir === undefined || out === undefined) throw new UserError('Expected --bundle and --out; try --help.');
  const bundle = Bundle.open(dir, { trustedKeys: readTrustedKeys(options['require-signature']) });
  const workers = parseWholeNumber('--workers', options.workers, 1, 256);
  const rows = createRows(bundle, options);
  const encode = createTextEncoder(bundle, rows, options);
  const encoding = parseEncoding(options.encoding);
  withLocation('--out', () => assertFilePath(out, 'vectors.safetensors'));

  const file = new RowFile(out);
  discardAtExit(file);
  const spool = new EncodingSpool(`${out}.${process.pid}.ids.partial`);
  const encoder = await openEncoders(bundle, { backend, workers });
  try {
    for await (const ids of mapStdinTexts(options.jsonl, encode, { encoding })) spool.add(ids);
    if (spool.count === 0) throw new UserError('Expected texts on stdin, got none');
    printMessages(encoder.notice);
    const width = findFixedSize(bundle, 1) ?? Math.max(1, spool.longest);
    assertDiskSpace(out, rows.leastBytes(spool));
    file.begin(rows.specs(spool.count, width), { bundle: bundle.hash, ...rows.metadata });
    await encodeAll(spool, encoder, rows, file);
    file.finish();
  } finally {
    file.discard();
    spool.close();
    await encoder.dispose();
  }
}

/**
 * @param {EncodingSpool} spool the ids of all texts
 * @param {import('./encoder/encoder_pool.js').Encoders} encoder
 * @param {OutputRows | VectorRows} rows writes the rows of a batch
 * @param {RowFile} file the output
 */
async function encodeAll(spool, encoder, rows, file) {
  const bar = startProgress('encoding texts', spool.count);
  try {
    for (const { first, encodings } of spool.batches()) {
      await forEachBatch(encodings, encoder, async (batch) => {
        await rows.write(
          file,
          encoder,
          batch.map((index) => ({ row: first + index, encoding: encodings[index] })),
        );
        bar.advance(batch.length);
      });
    }
  } finally {
    bar.stop();
  }
  bar.done();
}

/**
 * Creates the writer of the rows that the options ask for.
 *
 * @param {Bundle} bundle
 * @param {Record<string, any>} options
 * @throws {UserError} the bundle has no such output, or options contradict each other
 */
function createRows(bundle, { pooling, normalize, outputs }) {
  if (pooling === undefined) {
    if (normalize) throw new UserError('--normalize: expected --pooling cls, mean or pooled with it');
    return new OutputRows(bundle, chooseOutputs(bundle, outputs));
  }
  if (outputs !== undefined) throw new UserError('Expected --pooling or --outputs, got both');
  const what = withLocation('--pooling', () => parsePooling(pooling, normalize));
  const role = what === POOLING_NAMES.pooled ? 'pooled_output' : 'sequence_output';
  const spec = bundle.contract.outputs.find((output) => output.role === role);
  if (spec === undefined) {
    const known = bundle.contract.outputs.map(({ name }) => name).join(', ');
    throw new UserError(`--pooling ${pooling}: ${bundle.dir} has no ${role}; its outputs are ${known}`);
  }
  if (what === POOLING_NAMES.sequence) return new OutputRows(bundle, [spec.name]);
  return new VectorRows({ tensor: SENTENCE_OUTPUT, hidden: Number(spec.shape.at(-1)), name: pooling, pooling: what, normalize });
}

/**
 * @param {Bundle} bundle
 * @param {OutputRows | VectorRows} rows
 * @param {Record<string, any>} options
 * @returns {(text: import('./data/text.js').Text) => import('./encoder/encoder.js').Encoding}
 */
function createTextEncoder(bundle, rows, { 'max-length': asked, 'no-special-tokens': bare }) {
  const { max_length: limit } = bundle.contract;
  // A pair has three special tokens.
  const maxLength = asked === undefined ? limit : parseWholeNumber('--max-length', asked, bare ? 1 : 3, limit);
  const tokenizer = Tokenizer.fromBundle(bundle);
  return ({ text, pair }) => {
    const encoding = tokenizer.encode(text, { pair, maxLength, specialTokens: !bare });
    if (encoding.ids.length === 0 && rows.needPositions) {
      throw new UserError('the text has no token, so it has no vector; leave --no-special-tokens out');
    }
    return encoding;
  };
}

/**
 * @param {Bundle} bundle
 * @param {string | undefined} asked names with commas between, or `all`
 * @returns {string[]} names of outputs in the contract
 * @throws {UserError} the bundle has no output of that name
 */
function chooseOutputs({ dir, contract }, asked) {
  const known = contract.outputs.map(({ name }) => name);
  if (asked === undefined && known.includes(SENTENCE_OUTPUT)) return [SENTENCE_OUTPUT];
  if (asked === undefined || asked === 'all') return known;
  const names = [...new Set(asked.split(','))];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new UserError(
      `--outputs: got ${JSON.stringify(unknown)}, but ${dir} has ${known.join(', ')}; name some of these, or all`,
    );
  }
  return names;
}

/**
 * Checks the free disk space before hours of work.
 *
 * @param {string} path of the output
 * @param {number} bytes the least size of the output
 * @throws {UserError} the disk has less free space
 */
function assertDiskSpace(path, bytes) {
  const { bavail, bsize, blocks } = statfsSync(dirname(resolve(path)));
  // A file system that does not know its size reports 0.
  if (blocks === 0 || bytes <= bavail * bsize) return;
  const megabytes = (/** @type {number} */ size) => (size / 1e6).toFixed(1);
  throw new UserError(
    `--out: ${path} will have at least ${megabytes(bytes)} MB, but ${megabytes(bavail * bsize)} MB are free there; ` +
      'give another place, --pooling, or --max-length',
  );
}

/** Removes an unfinished file whenever the program ends. @param {RowFile} file */
function discardAtExit(file) {
  process.once('exit', () => file.discard());
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => {
      printMessages('stopped; nothing was written');
      process.exit(128 + constants.signals[signal]);
    });
  }
}
