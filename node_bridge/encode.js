/**
 * `node node_bridge/encode.js` encodes texts as tensors. First it reads all texts and stores their ids on
 * disk; then it encodes them batch by batch and writes each row to the output file at once. So its
 * memory does not depend on the number of texts.
 */
import { statfsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, resolve } from 'node:path';

import { Bundle, findOutput } from './bundle/bundle.js';
import { mapStdinTexts } from './data/text_stream.js';
import { findFixedSize } from './encoder/encoder.js';
import { countCommandWorkers, openEncoders } from './encoder/encoder_pool.js';
import { forEachBatch } from './encoder/features.js';
import { EncodingSpool } from './encoder/id_spool.js';
import { OutputRows, VectorRows, WindowRows } from './encoder/output_rows.js';
import { assertOneVector, POOLING_NAMES, parsePooling } from './encoder/pooling.js';
import { backendOption, createLongOptions, fewWorkersOption } from './model_options.js';
import {
  encodingOption,
  jsonLinesOption,
  maxLengthOption,
  noSpecialTokensOption,
  requiredBundleOption,
  signatureOption,
} from './shared_options.js';
import { runCommand } from './support/command_line.js';
import { withLocation, UserError } from './support/errors.js';
import { assertFilePath, partialPath } from './support/files.js';
import { customOption, flagOption, parseWholeNumber, requiredOption, textOption } from './support/options.js';
import { printMessages } from './support/printing.js';
import { startProgress } from './support/progress.js';
import { RowFile } from './support/safetensors.js';
import { Tokenizer } from './tokenizer/index.js';
import { LengthTally } from './tokenizer/length_tally.js';
import { describeLongRule, parseLongRule } from './tokenizer/long_rule.js';
import { TextReader } from './tokenizer/long_texts.js';
import { MIN_LENGTH } from './tokenizer/truncate.js';

/** The output of a sentence-transformers model with one vector per text; its sequence output is far larger. */
const SENTENCE_OUTPUT = 'sentence_embedding';

const DESCRIPTION = `Encodes texts, a row for each in order. Writes the model's outputs by their names, padded with
zeros to the longest text, with input_ids and attention_mask (1 at a text's positions); or with
--pooling one vector a text. Memory does not depend on the number of texts.

  node node_bridge/encode.js --bundle artifacts/bundle/albert_tiny --out vectors.safetensors < texts.txt
  node node_bridge/encode.js --bundle artifacts/bundle/albert_tiny --pooling mean --normalize \\
    --workers 4 --out vectors.safetensors < texts.txt
`;

const OPTIONS = {
  bundle: requiredBundleOption,
  out: requiredOption({ value: 'FILE', help: 'safetensors' }),
  pooling: customOption({
    value: 'NAME',
    help: `one vector a text, as the tensor ${SENTENCE_OUTPUT}, float32[texts, hidden]`,
    meanings: /** @satisfies {Record<import('./encoder/pooling.js').PoolingName, string>} */ ({
      cls: 'position 0 of sequence_output',
      mean: "the mean of sequence_output over the text's positions, [CLS] and [SEP] included, padding not; summed in float64",
      pooled: 'pooled_output',
      sequence: 'no single vector: sequence_output alone, padded as above',
    }),
    parse: (typed) => typed,
  }),
  normalize: flagOption('divides each vector by its L2 norm'),
  outputs: textOption({
    value: 'NAME,NAME',
    help: 'outputs of the model to write, or all',
    defaultText: `all, and of a bundle with a ${SENTENCE_OUTPUT} that alone`,
  }),
  maxLength: maxLengthOption('all that the model has'),
  ...createLongOptions('; windows give one vector a text'),
  workers: fewWorkersOption,
  backend: backendOption,
  requireSignature: signatureOption,
  noSpecialTokens: noSpecialTokensOption,
  jsonl: jsonLinesOption(),
  encoding: encodingOption,
};

/** @typedef {import('./support/options.js').Values<typeof OPTIONS>} Values */

await runCommand({ description: DESCRIPTION, options: OPTIONS, main });

/** @param {Values} options */
async function main(options) {
  const { bundle: dir, out, backend, workers, encoding, requireSignature: trustedKeys } = options;
  const bundle = Bundle.open(dir, { trustedKeys });
  const how = parseReading(bundle, options);
  const rows = createRows(bundle, options, how.long);
  const read = createReader(bundle, rows, how);
  const lengths = new LengthTally(how);
  withLocation('--out', () => assertFilePath(out, 'vectors.safetensors'));

  const file = new RowFile(out);
  discardAtExit(file);
  const spool = new EncodingSpool(partialPath(`${out}.ids`));
  const encoder = await openEncoders(bundle, { backend, workers: countCommandWorkers(workers) });
  try {
    for await (const reading of mapStdinTexts(options.jsonl, read, { encoding })) {
      lengths.add(reading);
      if (rows instanceof WindowRows) rows.addText(reading.count);
      for (let i = 0; i < reading.count; i += 1) spool.add(reading.row(i));
    }
    if (spool.count === 0) throw new UserError('Expected texts on stdin, got none');
    printMessages(encoder.notice, lengths.describe());
    const width = findFixedSize(bundle, 1) ?? Math.max(1, spool.longest);
    assertDiskSpace(out, rows.leastBytes(spool));
    file.begin(rows.specs(spool.count, width), {
      ...{ bundle: bundle.hash, ...rows.metadata },
      ...(how.long === undefined ? {} : { long: describeLongRule(how.long) }),
    });
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
 * @typedef {{maxLength: number, long?: import('./tokenizer/long_rule.js').LongRule, specialTokens: boolean}} ReadingSettings
 */

/**
 * How texts become rows of ids.
 *
 * @param {Bundle} bundle
 * @param {Values} options
 * @returns {ReadingSettings}
 * @throws {UserError} a value is not possible
 */
function parseReading({ contract: { max_length: limit } }, { maxLength: asked, noSpecialTokens: bare, ...options }) {
  const maxLength = asked === undefined ? limit : parseWholeNumber('--max-length', asked, bare ? 1 : MIN_LENGTH, limit);
  const long = parseLongRule(options, maxLength);
  if (bare && long !== undefined) {
    throw new UserError(
      `Expected --long cut with --no-special-tokens, got ${long.choice}, which puts [CLS] and [SEP] around each part`,
    );
  }
  return { maxLength, long, specialTokens: !bare };
}

/**
 * Creates the writer of the rows that the options ask for.
 *
 * @param {Bundle} bundle
 * @param {Values} options
 * @param {ReadingSettings['long']} long
 * @throws {UserError} the bundle has no such output, or options contradict each other
 */
function createRows(bundle, { pooling, normalize, outputs }, long) {
  const isWindowed = long?.choice === 'windows';
  if (pooling === undefined) {
    const names = chooseOutputs(bundle, outputs);
    if (isWindowed) return createWindowRows(bundle, names, normalize, long);
    if (normalize) throw new UserError('--normalize: expected --pooling cls, mean or pooled with it');
    return new OutputRows(bundle, names);
  }
  if (outputs !== undefined) throw new UserError('Expected --pooling or --outputs, got both');
  const what = withLocation('--pooling', () => parsePooling(pooling, normalize));
  assertOneVector(long, what, '--pooling sequence');
  const role = what === POOLING_NAMES.pooled ? 'pooled_output' : 'sequence_output';
  const spec = withLocation(`--pooling ${pooling}`, () => findOutput(bundle, role));
  if (what === POOLING_NAMES.sequence) return new OutputRows(bundle, [spec.name]);
  const metadata = { pooling, normalize: String(normalize) };
  const vectors = { tensor: SENTENCE_OUTPUT, hidden: Number(spec.shape.at(-1)), pooling: what, normalize, metadata };
  return isWindowed ? new WindowRows(vectors, long.pooling) : new VectorRows(vectors);
}

/**
 * Without --pooling, windows are for an output that has one vector a text.
 *
 * @param {Bundle} bundle
 * @param {string[]} names of outputs
 * @param {boolean} normalize
 * @param {NonNullable<ReadingSettings['long']>} long
 * @throws {UserError} there are other outputs
 */
function createWindowRows({ contract }, names, normalize, long) {
  const specs = contract.outputs.filter(({ name }) => names.includes(name));
  const [{ name, dtype, shape }] = specs;
  if (specs.length > 1 || dtype !== 'float32' || shape.length !== 2 || typeof shape[1] !== 'number') {
    throw new UserError(
      `--long windows gives one vector a text, but ${names.join(', ')} would be written; give --pooling cls, mean or pooled`,
    );
  }
  const vectors = { tensor: name, hidden: shape[1], output: name, normalize, metadata: { normalize: String(normalize) } };
  return new WindowRows(vectors, long.pooling);
}

/**
 * @param {Bundle} bundle
 * @param {OutputRows | VectorRows} rows
 * @param {ReadingSettings} how
 * @returns {(text: import('./data/text.js').Text) => import('./tokenizer/long_texts.js').Reading}
 */
function createReader(bundle, rows, how) {
  const reader = new TextReader(Tokenizer.fromBundle(bundle), how);
  return (text) => {
    const reading = reader.read(text);
    if (reading.positions === 0 && rows.needPositions) {
      throw new UserError('the text has no token, so it has no vector; leave --no-special-tokens out');
    }
    return reading;
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
