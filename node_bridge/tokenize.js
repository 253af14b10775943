/**
 * `node node_bridge/tokenize.js` turns texts on stdin into ids and tokens on stdout, one JSON line per text.
 */
import { Bundle } from './bundle/bundle.js';
import { readTrustedKeys } from './bundle/signature.js';
import { parseEncoding } from './data/encodings.js';
import { mapStdinTexts, streamBatches } from './data/text_stream.js';
import { runCommand, parseWholeNumber } from './support/command_line.js';
import { UserError } from './support/errors.js';
import { printJson } from './support/printing.js';
import { Tokenizer } from './tokenizer/index.js';

const HELP = `Turns texts into ids, with the very ids that the Python tokenizer gives.

  echo 这本书很好 | node node_bridge/tokenize.js --bundle artifacts/bundle/albert_tiny

Reads a text a line (only \\n ends a line) and writes {"ids": […], "tokens": […]} a line.

  --bundle DIR           a bundle, of a model or of a tokenizer alone
  --no-special-tokens    without [CLS] and [SEP]
  --jsonl                lines are objects with "text", or with "sentence1" and "sentence2", or other
                         usual names for these
  --encoding NAME        of stdin: utf-8 (default), gb18030, gbk, big5, utf-16
  --max-length N         cut to N tokens, special tokens counted (default: the model's positions)
  --require-signature FILE
                         refuse a bundle that none of the public keys (PEM) in FILE has signed
  --offsets              also where in the text each token came from, in UTF-16 units
  --help
`;

/** How many lines are written at once: one system call per line would be slow. */
const BATCH_LINES = 256;

await runCommand({
  help: HELP,
  options: {
    bundle: { type: 'string' },
    'no-special-tokens': { type: 'boolean', default: false },
    jsonl: { type: 'boolean', default: false },
    encoding: { type: 'string', default: 'utf-8' },
    'max-length': { type: 'string' },
    offsets: { type: 'boolean', default: false },
    'require-signature': { type: 'string' },
  },
  main,
});

/** @param {Record<string, any>} options */
async function main(options) {
  if (options.bundle === undefined) throw new UserError('Expected --bundle DIR; try --help.');
  const limit = options['max-length'];
  const settings = {
    specialTokens: !options['no-special-tokens'],
    ...(limit === undefined ? {} : { maxLength: parseWholeNumber('--max-length', limit, 1, 1e6) }),
  };
  const tokenizer = Tokenizer.fromBundle(
    Bundle.open(options.bundle, { trustedKeys: readTrustedKeys(options['require-signature']) }),
  );
  const encoded = mapStdinTexts(
    options.jsonl,
    ({ text, pair }) => {
      const { ids, tokens, offsets } = tokenizer.encodeWithTokens(text, { ...settings, pair });
      return { ids: Array.from(ids), tokens, ...(options.offsets ? { offsets } : {}) };
    },
    { encoding: parseEncoding(options.encoding) },
  );
  for await (const window of streamBatches(encoded, BATCH_LINES)) await printJson(...window);
}
