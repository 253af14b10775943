/** `node node_bridge/predict.js`: labels texts with a trained classifier. */
import { Classifier } from './classifier.js';
import { run, say } from './cli.js';
import { UserError } from './errors.js';
import { textsOfStdin } from './stdin.js';

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
async function main({ model: dir, bundle, backend, jsonl }, texts) {
  if (dir === undefined) throw new UserError('Expected --model, the directory that train.js wrote; try --help.');
  if (jsonl && texts.length > 0) throw new UserError('--jsonl is for stdin; got texts on the command line too');
  const classifier = await Classifier.load(dir, { bundle, backend });
  say(classifier.notice);
  const source = texts.length > 0 ? texts.map((text) => ({ text })) : textsOfStdin(jsonl);
  for await (const prediction of classifier.predict(source)) {
    const flushed = process.stdout.write(`${JSON.stringify(prediction)}\n`);
    if (!flushed) await new Promise((done) => process.stdout.once('drain', done));
  }
}
