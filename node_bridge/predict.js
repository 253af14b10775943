/** `node node_bridge/predict.js`: labels texts with a trained classifier. */
import { Classifier } from './classifier.js';
import { run, say, wholeNumber } from './cli.js';
import { UserError } from './errors.js';
import { eachOfStdin, textsOfStdin } from './stdin.js';
import { write } from './stdout.js';
import { fitting } from './text.js';

const HELP = `Labels texts with a classifier that train.js made. Gives a JSON line a text, in order.

  echo 这本书很好 | node node_bridge/predict.js --model artifacts/classifier
  node node_bridge/predict.js --model artifacts/classifier 这本书很好 一般 "不 推荐"

  --model DIR      the classifier
  --bundle DIR     its bundle, if it is no longer where it was at training
  --backend NAME   auto (default), native, wasm or cpu
  --workers N      encoders at a time on wasm and cpu, each with the model in memory; default 1,
                   for many texts one a core is fastest
  --jsonl          stdin holds objects with \`text\`, or \`sentence1\` and \`sentence2\`
  --top K          the K most probable labels in order, in the place of all probabilities
  --strict         stops at a broken line; else it is named on stderr, {"line": N, "error": "…"}
                   stands in its place, the rest goes on, and the exit code is 2
  -h, --help
`;

await run({
  help: HELP,
  options: {
    model: { type: 'string' },
    bundle: { type: 'string' },
    backend: { type: 'string', default: 'auto' },
    workers: { type: 'string', default: '1' },
    jsonl: { type: 'boolean', default: false },
    top: { type: 'string' },
    strict: { type: 'boolean', default: false },
  },
  positionals: 'texts',
  main,
});

/** @param {Record<string, any>} options @param {string[]} texts */
async function main({ model: dir, bundle, backend, workers, jsonl, strict, top }, texts) {
  if (dir === undefined) throw new UserError('Expected --model, the directory that train.js wrote; try --help.');
  if (jsonl && texts.length > 0) throw new UserError('--jsonl is for stdin; got texts on the command line too');
  const ranked = top === undefined ? 0 : wholeNumber('--top', top, 1, 1e6);
  const encoders = wholeNumber('--workers', workers, 1, 256);
  const classifier = await Classifier.load(dir, { bundle, backend, workers: encoders });
  if (classifier.task === 'pair' && !jsonl) {
    throw new UserError('This classifier takes pairs; give --jsonl, and on stdin objects with `sentence1` and `sentence2`');
  }
  say(classifier.notice);
  if (texts.length > 0) return print(classifier, texts, ranked);
  try {
    await print(classifier, strict ? soundTexts(jsonl, classifier) : textsOfStdin(jsonl), ranked);
  } finally {
    process.stdin.destroy(); // it is read ahead, and would be waited for after a failure
  }
}

/** @param {boolean} jsonl @param {Classifier} classifier */
function soundTexts(jsonl, { task }) {
  return eachOfStdin(jsonl, (text) => fitting(text, task));
}

/**
 * @param {Classifier} classifier
 * @param {AsyncIterable<import('./text.js').Text | UserError> | Iterable<string>} texts
 * @param {number} top
 * @throws {UserError} there were broken ones
 */
async function print(classifier, texts, top) {
  let line = 0;
  let broken = 0;
  for await (const answer of classifier.stream(texts, { top, keepBroken: true })) {
    line += 1;
    if ('error' in answer) {
      broken += 1;
      const { message } = answer.error;
      say(`stdin:${line}: ${message}`);
      await write(`${JSON.stringify({ line, error: message })}\n`);
    } else {
      const { probabilities, ...rest } = answer;
      await write(`${JSON.stringify(top > 0 ? rest : answer)}\n`);
    }
  }
  if (broken > 0) throw new UserError(`${broken} of ${line} lines are broken; an \`error\` stands in the place of each`);
}
