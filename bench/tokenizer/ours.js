/**
 * Our side: a bundle's tokenizer.
 */
import { readFileSync } from 'node:fs';

import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { Tokenizer } from '../../node_bridge/tokenizer/index.js';
import { serve, measurePass } from '../serve.js';

const OPTIONS = { specialTokens: false, maxLength: 2 ** 30 };

/** @type {string[]} */
let texts = [];
/** @type {Tokenizer} */
let tokenizer;
/** How many tokens the last pass had: counting prevents the compiler from removing the pass. */
let tokens = 0;

const passes = {
  ids: () => {
    tokens = 0;
    for (const text of texts) tokens += tokenizer.encode(text, OPTIONS).ids.length;
  },
  tokens: () => {
    tokens = 0;
    for (const text of texts) tokens += tokenizer.encodeWithTokens(text, OPTIONS).offsets.length;
  },
};

await serve({
  open: ({ bundle, file }) => {
    tokenizer = Tokenizer.fromBundle(Bundle.open(bundle));
    if (file !== undefined) texts = JSON.parse(readFileSync(file, 'utf8'));
  },
  ids: ({ indices }) => indices.map((/** @type {number} */ at) => [...tokenizer.encode(texts[at], OPTIONS).ids]),
  tokens: ({ indices }) => indices.map((/** @type {number} */ at) => tokenizer.encodeWithTokens(texts[at], OPTIONS).tokens),
  time: (/** @type {{what: 'ids' | 'tokens', at_least: number}} */ { what, at_least }) => measurePass(passes[what], at_least),
  load: ({ bundle, at_least }) => measurePass(() => Tokenizer.fromBundle(Bundle.open(bundle)), at_least),
  memory: ({ what }) => {
    passes[/** @type {'ids' | 'tokens'} */ (what)]();
    globalThis.gc?.();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  },
  count: () => tokens,
});
