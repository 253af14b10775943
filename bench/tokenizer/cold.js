/**
 * Loads a tokenizer in a new process and prints the seconds:
 * `node cold.js ours|huggingface BUNDLE`. The time includes importing the code.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const [who, bundle] = process.argv.slice(2);
const start = performance.now();
const tokenizer = await (who === 'ours' ? ours() : huggingface());
const seconds = (performance.now() - start) / 1000;
if (tokenizer.encode('你好').ids.length === 0) throw new Error('nothing was loaded');
console.log(seconds);

async function ours() {
  const { Bundle } = await import('../../node_bridge/bundle/bundle.js');
  const { Tokenizer } = await import('../../node_bridge/tokenizer/index.js');
  return Tokenizer.fromBundle(Bundle.open(bundle));
}

async function huggingface() {
  const { Tokenizer } = await import('@huggingface/tokenizers');
  return new Tokenizer(JSON.parse(readFileSync(join(bundle, 'tokenizer.json'), 'utf8')), {});
}
