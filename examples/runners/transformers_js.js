/**
 * transformers.js as a column of parity: a model in ONNX, and its tokenizer as Hugging Face publishes it.
 *
 *   npm install @huggingface/transformers
 *   nox -s parity -- --bundle … --model … --runner transformers='node examples/runners/transformers_js.js FOLDER'
 *
 * FOLDER has config.json, tokenizer.json, tokenizer_config.json and onnx/model.onnx.
 */
import { basename, dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline';

import { AutoModel, AutoTokenizer, env } from '@huggingface/transformers';

const folder = resolve(process.argv[2]);
env.allowRemoteModels = false;
env.localModelPath = dirname(folder);
const tokenizer = await AutoTokenizer.from_pretrained(basename(folder));
const model = await AutoModel.from_pretrained(basename(folder), { dtype: 'fp32' });

for await (const line of createInterface(process.stdin)) {
  const { id, text, pair, max_length } = JSON.parse(line);
  const inputs = tokenizer(text, { text_pair: pair, truncation: true, max_length });
  const { last_hidden_state: vectors } = await model(inputs);
  const ids = Array.from(inputs.input_ids.data, Number);
  console.log(JSON.stringify({ id, ids, sequence_output: vectors.tolist()[0] }));
}
