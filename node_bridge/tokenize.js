/**
 * `node node_bridge/tokenize.js` turns texts on stdin into ids and tokens on stdout, one JSON line per text.
 */
import { Bundle } from './bundle/bundle.js';
import { mapStdinTexts, streamBatches } from './data/text_stream.js';
import {
  encodingOption,
  jsonLinesOption,
  maxLengthOption,
  noSpecialTokensOption,
  requiredBundleOption,
  signatureOption,
} from './shared_options.js';
import { runCommand } from './support/command_line.js';
import { flagOption, parseWholeNumber } from './support/options.js';
import { printJson } from './support/printing.js';
import { Tokenizer } from './tokenizer/index.js';

const DESCRIPTION = `Turns texts into ids, with the very ids that the Python tokenizer gives.

  echo 这本书很好 | node node_bridge/tokenize.js --bundle artifacts/bundle/albert_tiny

Reads a text a line (only \\n ends a line) and writes {"ids": […], "tokens": […]} a line.
`;

/** How many lines are written at once: one system call per line would be slow. */
const BATCH_LINES = 256;

const OPTIONS = {
  bundle: { ...requiredBundleOption, help: 'a bundle, of a model or of a tokenizer alone' },
  noSpecialTokens: noSpecialTokensOption,
  jsonl: jsonLinesOption(),
  encoding: encodingOption,
  maxLength: maxLengthOption('all that the model has'),
  requireSignature: signatureOption,
  offsets: flagOption('also where in the text each token came from, in UTF-16 units'),
};

await runCommand({ description: DESCRIPTION, options: OPTIONS, main });

/** @param {import('./support/options.js').Values<typeof OPTIONS>} options */
async function main({ bundle, noSpecialTokens, jsonl, encoding, maxLength, requireSignature: trustedKeys, offsets: hasOffsets }) {
  const settings = {
    specialTokens: !noSpecialTokens,
    ...(maxLength === undefined ? {} : { maxLength: parseWholeNumber('--max-length', maxLength) }),
  };
  const tokenizer = Tokenizer.fromBundle(Bundle.open(bundle, { trustedKeys }));
  const encoded = mapStdinTexts(
    jsonl,
    ({ text, pair }) => {
      const { ids, tokens, offsets } = tokenizer.encodeWithTokens(text, { ...settings, pair });
      return { ids: Array.from(ids), tokens, ...(hasOffsets ? { offsets } : {}) };
    },
    { encoding },
  );
  for await (const batch of streamBatches(encoded, BATCH_LINES)) await printJson(...batch);
}
