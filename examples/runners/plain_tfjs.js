/**
 * A product on plain TF.js as a column of parity. It uses nothing of bert-bridge but the files of a bundle.
 *
 *   nox -s parity -- --runner plain-tfjs='node examples/runners/plain_tfjs.js artifacts/bundle/albert_tiny'
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { Tokenizer } from '@huggingface/tokenizers';
import '@tensorflow/tfjs-backend-cpu';
import { loadGraphModel } from '@tensorflow/tfjs-converter';
import * as tf from '@tensorflow/tfjs-core';

const bundle = process.argv[2];
const { modelTopology, weightsManifest, signature } = JSON.parse(readFileSync(`${bundle}/model.json`, 'utf8'));
const shards = weightsManifest[0].paths.map((/** @type {string} */ path) => readFileSync(`${bundle}/${path}`));
const { buffer: weightData } = Uint8Array.from(Buffer.concat(shards));
const model = await loadGraphModel({
  load: async () => ({ modelTopology, weightSpecs: weightsManifest[0].weights, weightData }),
});

const vocab = readFileSync(`${bundle}/vocab.txt`, 'utf8').trimEnd().split('\n');
const tokenizer = new Tokenizer(
  {
    model: { type: 'WordPiece', unk_token: '[UNK]', vocab: Object.fromEntries(vocab.map((token, id) => [token, id])) },
    normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: null,
    decoder: null,
    added_tokens: [],
  },
  {},
);

/** @param {string} text @param {number} most */
function cut(text, most) {
  return tokenizer.encode(text, { add_special_tokens: false }).tokens.slice(0, most);
}

for await (const line of createInterface(process.stdin)) {
  const { id, text, pair, max_length: maxLength } = JSON.parse(line);
  if (pair !== undefined) {
    console.log(JSON.stringify({ id, skip: 'this program takes no pairs' }));
    continue;
  }
  const tokens = ['[CLS]', ...cut(text, maxLength - 2), '[SEP]'];
  const ids = tokens.map((token) => vocab.indexOf(token));
  const outputs = tf.tidy(() => {
    /** @type {Record<string, number[]>} */
    const values = { input_ids: ids, attention_mask: ids.map(() => 1), token_type_ids: ids.map(() => 0) };
    const feeds = Object.entries(signature.inputs).map(([name, { name: node }]) => [
      node,
      tf.tensor2d([values[name]], undefined, 'int32'),
    ]);
    const output = model.execute(Object.fromEntries(feeds), signature.outputs.pooled_output.name);
    return /** @type {tf.Tensor2D} */ (output).arraySync();
  });
  console.log(JSON.stringify({ id, tokens, ids, pooled_output: outputs[0] }));
}
