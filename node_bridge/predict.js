/** `node node_bridge/predict.js`: labels texts with a trained classifier. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { Bundle } from './bundle.js';
import { Classifier } from './classifier.js';
import { readDescription } from './classifier_files.js';
import { run, say } from './cli.js';
import { Encoder } from './encoder.js';
import { UserError } from './errors.js';
import { predict } from './prediction.js';
import { textsOfStdin } from './stdin.js';
import { Tokenizer } from './tokenizer/index.js';

const HELP = `Labels texts with a classifier that train.js made. Gives a JSON line a text, in order.

  echo 这本书很好 | node node_bridge/predict.js --model artifacts/classifier
  node node_bridge/predict.js --model artifacts/classifier 这本书很好 一般 "不 推荐"

  --model DIR      the classifier
  --bundle DIR     its bundle, if it is no longer where it was at training
  --backend NAME   auto (default), native, wasm or cpu
  --jsonl          stdin holds objects with \`text\`, or \`sentence1\` and \`sentence2\`
  -h, --help
`;

await run({
  help: HELP,
  options: {
    model: { type: 'string' },
    bundle: { type: 'string' },
    backend: { type: 'string', default: 'auto' },
    jsonl: { type: 'boolean', default: false },
  },
  main,
});

/** @param {Record<string, any>} options @param {string[]} texts */
async function main({ model: dir, bundle: bundleDir, backend, jsonl }, texts) {
  if (dir === undefined) throw new UserError('Expected --model, the directory that train.js wrote; try --help.');
  if (jsonl && texts.length > 0) throw new UserError('--jsonl is for stdin; got texts on the command line too');
  const bundle = Bundle.open(bundleDir ?? bundleOf(dir));
  const encoder = await Encoder.load(bundle, { backend });
  const classifier = await Classifier.load(dir, bundle);
  const tokenizer = Tokenizer.fromBundle(bundle);
  say(encoder.notice);
  const source = texts.length > 0 ? texts.map((text) => ({ text })) : textsOfStdin(jsonl);
  for await (const prediction of predict(source, { tokenizer, encoder, classifier })) {
    const flushed = process.stdout.write(`${JSON.stringify(prediction)}\n`);
    if (!flushed) await new Promise((done) => process.stdout.once('drain', done));
  }
}

/** Where the classifier's bundle was at training. @param {string} dir */
function bundleOf(dir) {
  const found = resolve(dir, readDescription(dir).bundle.dir);
  if (existsSync(join(found, 'bundle.json'))) return found;
  throw new UserError(`The bundle of ${dir} is no longer at ${found}; give its place with --bundle`);
}
