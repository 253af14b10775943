/**
 * The peer in JavaScript: @huggingface/tokenizers on a bundle's tokenizer.json.
 *
 * Its `encode` always returns ids, tokens and a mask, so ids and tokens are the same pass.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Tokenizer } from '@huggingface/tokenizers';

import { serve, measurePass } from '../serve.js';

const OPTIONS = { add_special_tokens: false };

/** @type {string[]} */
let texts = [];
/** @type {Tokenizer} */
let tokenizer;
/** How many tokens the last pass had: counting prevents the compiler from removing the pass. */
let tokens = 0;

await serve({
  open: ({ bundle, file }) => {
    tokenizer = new Tokenizer(JSON.parse(readFileSync(join(bundle, 'tokenizer.json'), 'utf8')), {});
    texts = JSON.parse(readFileSync(file, 'utf8'));
  },
  ids: ({ indices }) => indices.map((/** @type {number} */ at) => tokenizer.encode(texts[at], OPTIONS).ids),
  tokens: ({ indices }) => indices.map((/** @type {number} */ at) => tokenizer.encode(texts[at], OPTIONS).tokens),
  time: ({ at_least }) =>
    measurePass(() => {
      tokens = 0;
      for (const text of texts) tokens += tokenizer.encode(text, OPTIONS).ids.length;
    }, at_least),
  count: () => tokens,
});
