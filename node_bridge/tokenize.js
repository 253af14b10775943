/**
 * Texts on stdin to ids and tokens on stdout, a JSON line each.
 */
import { Bundle } from './bundle.js';
import { run } from './cli.js';
import { UserError } from './errors.js';
import { lines } from './lines.js';
import { Tokenizer } from './tokenizer/index.js';

const HELP = `Turns texts into ids, with the very ids that the Python tokenizer gives.

  echo 这本书很好 | node node_bridge/tokenize.js --bundle artifacts/bundle

Reads a text a line (only \\n ends a line) and writes {"ids": […], "tokens": […]} a line.

  --bundle DIR           a bundle, of a model or of a tokenizer alone
  --no-special-tokens    without [CLS] and [SEP]
  --jsonl                lines are objects with "text", or with "sentence1" and "sentence2"
  --max-length N         cut to N tokens, special tokens counted (default: the model's positions)
  --offsets              also where in the text each token came from, in UTF-16 units
  --help
`;

/** Written at once, so that a long input does not cost a system call a line. */
const BLOCK = 1 << 16;

run({
  help: HELP,
  options: {
    bundle: { type: 'string' },
    'no-special-tokens': { type: 'boolean', default: false },
    jsonl: { type: 'boolean', default: false },
    'max-length': { type: 'string' },
    offsets: { type: 'boolean', default: false },
  },
  main,
});

/** @param {Record<string, any>} options */
async function main(options) {
  if (options.bundle === undefined) throw new UserError('Expected --bundle DIR; try --help.');
  const tokenizer = Tokenizer.fromBundle(Bundle.open(options.bundle));
  const limit = options['max-length'];
  const settings = {
    specialTokens: !options['no-special-tokens'],
    ...(limit === undefined ? {} : { maxLength: Number(limit) }),
  };
  let number = 0;
  let block = '';
  for await (const line of lines(process.stdin)) {
    number += 1;
    try {
      const { text, pair } = options.jsonl ? textsOf(line) : { text: line, pair: undefined };
      const { ids, tokens, offsets } = tokenizer.encodeWithTokens(text, { ...settings, pair });
      const answer = { ids: Array.from(ids), tokens, ...(options.offsets ? { offsets } : {}) };
      block += `${JSON.stringify(answer)}\n`;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      await write(block);
      throw new UserError(`stdin:${number}: ${error.message}`);
    }
    if (block.length >= BLOCK) {
      await write(block);
      block = '';
    }
  }
  await write(block);
}

/**
 * @param {string} line
 * @returns {{text: string, pair: string | undefined}}
 */
function textsOf(line) {
  let row;
  try {
    row = JSON.parse(line);
  } catch {
    throw new UserError('not JSON; expected an object with "text", or "sentence1" and "sentence2"');
  }
  if (typeof row?.text === 'string') return { text: row.text, pair: undefined };
  if (typeof row?.sentence1 === 'string' && typeof row?.sentence2 === 'string') {
    return { text: row.sentence1, pair: row.sentence2 };
  }
  throw new UserError('expected an object with "text", or "sentence1" and "sentence2", as strings');
}

/** @param {string} block */
async function write(block) {
  if (block === '' || process.stdout.write(block)) return;
  await new Promise((resolve) => process.stdout.once('drain', resolve));
}
