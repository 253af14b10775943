/** `node node_bridge/predict.js` labels texts with a trained classifier. */
import { readTrustedKeys } from './bundle/signature.js';
import { Classifier } from './classifier/classifier.js';
import { parseColumns } from './data/columns.js';
import { parseEncoding } from './data/encodings.js';
import { assertTask } from './data/text.js';
import { mapStdinTexts, readStdinTexts } from './data/text_stream.js';
import { runCommand, parseWholeNumber } from './support/command_line.js';
import { UserError } from './support/errors.js';
import { toPrintable, printJson, printMessages } from './support/printing.js';

const HELP = `Labels texts with a classifier that train.js made. Gives a JSON line a text, in order.

  echo 这本书很好 | node node_bridge/predict.js --model artifacts/classifier
  node node_bridge/predict.js --model artifacts/classifier 这本书很好 一般 "不 推荐"

  --model DIR      the classifier
  --bundle DIR     its bundle, if it is no longer where it was at training
  --backend NAME   auto (default), native, wasm or cpu
  --workers N      encoders at a time on wasm and cpu, each with the model in memory; default 1,
                   for many texts one a core is fastest
  --require-signature FILE
                   refuse a classifier or a bundle that none of the public keys (PEM) in FILE
                   has signed
  --jsonl          stdin holds objects with \`text\`, or \`sentence1\` and \`sentence2\`, or other usual
                   names for these; their other fields are in the answers too, and one whose name
                   the answer needs, such as \`label\`, is \`input_label\` there
  --columns LIST   with --jsonl: the fields by name, such as review=text
  --encoding NAME  of stdin: utf-8 (default), gb18030, gbk, big5, utf-16
  --top K          the K most probable labels in order, in the place of all probabilities
  --strict         stops at a broken line; else it is named on stderr, {"line": N, "error": "…"}
                   stands in its place, the rest goes on, and the exit code is 2
  -h, --help
`;

/** Names of fields that an answer may have with any options, so that other fields have the same names in every run. */
const ANSWER_NAMES = new Set(['text', 'sentence1', 'sentence2', 'label', 'probability', 'probabilities', 'top', 'line', 'error']);

await runCommand({
  help: HELP,
  options: {
    model: { type: 'string' },
    bundle: { type: 'string' },
    backend: { type: 'string', default: 'auto' },
    workers: { type: 'string', default: '1' },
    jsonl: { type: 'boolean', default: false },
    columns: { type: 'string' },
    encoding: { type: 'string', default: 'utf-8' },
    top: { type: 'string' },
    strict: { type: 'boolean', default: false },
    'require-signature': { type: 'string' },
  },
  positionals: 'texts',
  main,
});

/** @param {Record<string, any>} options @param {string[]} texts */
async function main(options, texts) {
  const { model: dir, bundle, backend, workers, jsonl, strict, top } = options;
  if (dir === undefined) throw new UserError('Expected --model, the directory that train.js wrote; try --help.');
  if (jsonl && texts.length > 0) throw new UserError('--jsonl is for stdin; got texts on the command line too');
  const ranked = top === undefined ? 0 : parseWholeNumber('--top', top, 1, 1e6);
  const format = parseFormat(options);
  const encoders = parseWholeNumber('--workers', workers, 1, 256);
  const trustedKeys = readTrustedKeys(options['require-signature']);
  const classifier = await Classifier.load(dir, { bundle, backend, workers: encoders, trustedKeys });
  if (classifier.task === 'pair' && !jsonl) {
    throw new UserError('This classifier takes pairs; give --jsonl, and on stdin objects with `sentence1` and `sentence2`');
  }
  printMessages(classifier.notice);
  if (texts.length > 0) return printPredictions(classifier, texts, ranked);
  try {
    await printPredictions(
      classifier,
      strict ? readStrictTexts(jsonl, format, classifier) : readStdinTexts(jsonl, format),
      ranked,
    );
  } finally {
    process.stdin.destroy(); // a pending read would keep the program running after a failure
  }
}

/**
 * @param {Record<string, any>} options
 * @returns {import('./data/text_stream.js').StdinFormat}
 */
function parseFormat({ encoding, columns: columnsOption, jsonl }) {
  const columns = columnsOption === undefined ? undefined : parseColumns(columnsOption);
  if (columns !== undefined && (!jsonl || columns.order !== undefined)) {
    throw new UserError(
      'Expected --columns by name and with --jsonl, such as --jsonl --columns review=text: lines of text have no columns',
    );
  }
  return { encoding: parseEncoding(encoding), columns };
}

/** @param {boolean} jsonl @param {import('./data/text_stream.js').StdinFormat} format @param {Classifier} classifier */
function readStrictTexts(jsonl, format, { task }) {
  return mapStdinTexts(
    jsonl,
    (text) => {
      assertTask(text, task);
      return text;
    },
    format,
  );
}

/**
 * @param {Classifier} classifier
 * @param {AsyncIterable<import('./data/text_stream.js').StdinText | UserError> | Iterable<string>} texts
 * @param {number} top
 * @throws {UserError} there were broken lines
 */
async function printPredictions(classifier, texts, top) {
  let line = 0;
  let broken = 0;
  /** @type {(Record<string, unknown> | undefined)[]} the other fields of the texts whose answers have not come yet */
  const others = [];
  const read = async function* () {
    for await (const text of texts) {
      others.push(typeof text === 'object' && 'others' in text ? text.others : undefined);
      yield text;
    }
  };
  for await (const answer of classifier.stream(read(), { top, keepBroken: true })) {
    line += 1;
    const beside = others.shift() ?? {};
    if ('error' in answer) {
      broken += 1;
      const { message } = answer.error;
      printMessages(`stdin:${line}: ${message}`);
      await printJson({ line, error: toPrintable(message) });
    } else {
      const { probabilities, ...rest } = answer;
      await printJson(mergeOtherFields(top > 0 ? rest : answer, beside));
    }
  }
  if (broken > 0) throw new UserError(`${broken} of ${line} lines are broken; an \`error\` stands in the place of each`);
}

/**
 * Adds the other fields of an input to its answer. A field whose name an answer may have becomes `input_…`.
 *
 * @param {object} answer
 * @param {Record<string, unknown>} others
 */
function mergeOtherFields(answer, others) {
  const names = new Set(Object.keys(others).filter((name) => !ANSWER_NAMES.has(name)));
  const renamed = Object.entries(others).map(([name, value]) => {
    if (!ANSWER_NAMES.has(name)) return [name, value];
    let free = `input_${name}`;
    while (names.has(free)) free = `input_${free}`;
    names.add(free);
    return [free, value];
  });
  return { ...answer, ...Object.fromEntries(renamed) };
}
