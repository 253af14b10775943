/** `node node_bridge/encode.js`: texts to tensors. */
import { Bundle } from './bundle.js';
import { run, say } from './cli.js';
import { Encoder } from './encoder.js';
import { UserError } from './errors.js';
import { progress } from './progress.js';
import { writeSafetensors } from './safetensors.js';
import { eachOfStdin } from './stdin.js';
import { Tokenizer } from './tokenizer/index.js';

/** Rows that run together: all are as wide as the longest text, so that they fit one tensor. */
const ROWS = 8;

/** What a sentence-transformers model gives for a text; its sequence output is far larger. */
const SENTENCE = 'sentence_embedding';

const HELP = `Encodes texts. Writes the model's outputs by their names, input_ids and attention_mask.

  node node_bridge/encode.js --bundle artifacts/bundle/albert_tiny --out vectors.safetensors < texts.txt

  --bundle DIR          the bundle
  --out FILE            safetensors, a row for each text in order, padded to the longest
  --outputs NAME,NAME   outputs of the model to write, or all; by default all, and of a bundle
                        with a sentence_embedding that alone
  --backend NAME        auto (default), native, wasm or cpu
  --no-special-tokens   without [CLS] and [SEP]
  --jsonl               stdin holds objects with \`text\`, or \`sentence1\` and \`sentence2\`
  -h, --help
`;

await run({
  help: HELP,
  options: {
    bundle: { type: 'string' },
    out: { type: 'string' },
    outputs: { type: 'string' },
    backend: { type: 'string', default: 'auto' },
    'no-special-tokens': { type: 'boolean', default: false },
    jsonl: { type: 'boolean', default: false },
  },
  main,
});

/** @param {Record<string, any>} options */
async function main(options) {
  if (options.bundle === undefined || options.out === undefined) {
    throw new UserError('Expected --bundle and --out; try --help.');
  }
  const bundle = Bundle.open(options.bundle);
  const names = chosenOutputs(bundle, options.outputs);
  const tokenizer = Tokenizer.fromBundle(bundle);
  const encoder = await Encoder.load(bundle, { backend: options.backend });
  const specialTokens = !options['no-special-tokens'];
  const encodings = [];
  const encoded = eachOfStdin(options.jsonl, ({ text, pair }) => tokenizer.encode(text, { pair, specialTokens }));
  for await (const encoding of encoded) encodings.push(encoding);
  if (encodings.length === 0) throw new UserError('Expected texts on stdin, got none');
  say(encoder.notice);

  const width = Math.max(1, ...encodings.map(({ ids }) => ids.length));
  const bar = progress('encoding texts', encodings.length);
  /** @type {Record<string, {shape: number[], parts: Float32Array[]}>} */
  const outputs = {};
  for (let from = 0; from < encodings.length; from += ROWS) {
    const batch = encodings.slice(from, from + ROWS);
    for (const [name, { shape, data }] of Object.entries(await encoder.run(batch, width, names))) {
      outputs[name] ??= { shape: [encodings.length, ...shape.slice(1)], parts: [] };
      outputs[name].parts.push(data);
    }
    bar.advance(batch.length);
  }
  bar.done();
  const { input_ids, attention_mask } = encoder.pad(encodings, width);
  const tensors = Object.entries(outputs).map(([name, { shape, parts }]) => [
    name,
    { dtype: 'F32', shape, data: joined(parts) },
  ]);
  const ids = { input_ids: { dtype: 'I32', ...input_ids }, attention_mask: { dtype: 'I32', ...attention_mask } };
  writeSafetensors(options.out, { ...Object.fromEntries(tensors), ...ids }, { bundle: bundle.hash });
}

/**
 * @param {Bundle} bundle
 * @param {string | undefined} asked names with commas between, or `all`
 * @returns {string[]} names of outputs in the contract
 * @throws {UserError} the bundle has no output of that name
 */
function chosenOutputs({ dir, contract }, asked) {
  const known = contract.outputs.map(({ name }) => name);
  if (asked === undefined && known.includes(SENTENCE)) return [SENTENCE];
  if (asked === undefined || asked === 'all') return known;
  const names = [...new Set(asked.split(','))];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new UserError(`--outputs: got ${JSON.stringify(unknown)}, but ${dir} has ${known.join(', ')}; name some of these, or all`);
  }
  return names;
}

/** @param {Float32Array[]} parts */
function joined(parts) {
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
