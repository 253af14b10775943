/**
 * Our side: a bundle's encoder on all cores, as in training and prediction. Takes texts, which
 * node_bridge groups into batches, or ready batches.
 */
import { readFileSync } from 'node:fs';

import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { DEFAULTS } from '../../node_bridge/classifier/training/defaults.js';
import { openEncoders } from '../../node_bridge/encoder/encoder_pool.js';
import { encodeFeatures } from '../../node_bridge/encoder/features.js';
import { Tokenizer } from '../../node_bridge/tokenizer/index.js';
import { serve, measurePass } from '../serve.js';

const MAX_LENGTH = DEFAULTS.maxLength;

/** @type {import('../../node_bridge/encoder/encoder_pool.js').Encoders} */
let encoder;
/** @type {Tokenizer} */
let tokenizer;
/** float32[hidden] of each text. @type {() => Promise<Float32Array[]>} */
let pass;

/** @param {string} path */
function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

await serve({
  open: async ({ bundle, tokenizer: other, backend }) => {
    encoder = await openEncoders(Bundle.open(bundle), { backend });
    if (encoder.notice) throw new Error(encoder.notice);
    tokenizer = Tokenizer.fromBundle(Bundle.open(other ?? bundle));
  },
  ids: ({ file }) =>
    readJson(file).map((/** @type {string} */ text) => [...tokenizer.encode(text, { maxLength: MAX_LENGTH }).ids]),
  texts: ({ file }) => {
    const texts = readJson(file).map((/** @type {string} */ text) => ({ text }));
    pass = () => encodeFeatures(texts, { tokenizer, encoder }, { maxLength: MAX_LENGTH });
  },
  batches: ({ file }) => {
    /** @type {{ids: Int32Array, typeIds: Int32Array}[][]} */
    const batches = readJson(file).map((/** @type {number[][]} */ batch) =>
      batch.map((ids) => ({ ids: Int32Array.from(ids), typeIds: new Int32Array(ids.length) })),
    );
    pass = async () => (await Promise.all(batches.map((batch) => encoder.firstPosition(batch)))).flat();
  },
  vectors: async ({ count }) => (await pass()).slice(0, count).map((row) => [...row]),
  time: ({ at_least }) => measurePass(pass, at_least),
});
