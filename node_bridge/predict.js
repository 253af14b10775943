/** `node node_bridge/predict.js` labels texts with a trained classifier, or with a bundle that decides by itself. */
import { Bundle } from './bundle/bundle.js';
import { Classifier } from './classifier/classifier.js';
import { ANSWER_FIELDS } from './classifier/decisions/answers.js';
import { isBundle } from './classifier/decisions/bundle_head.js';
import { TokenClassifier } from './classifier/token_classifier.js';
import { countCommandWorkers } from './encoder/encoder_pool.js';
import { assertTask } from './data/text.js';
import { mapStdinTexts, readStdinTexts } from './data/text_stream.js';
import { backendOption, fewWorkersOption, longOptionsOfBundles } from './model_options.js';
import { columnsOption, encodingOption, jsonLinesOption, signatureOption } from './shared_options.js';
import { runCommand } from './support/command_line.js';
import { UserError } from './support/errors.js';
import { flagOption, requiredOption, textOption, wholeNumberOption } from './support/options.js';
import { toPrintable } from './support/printable.js';
import { printJson, printMessages } from './support/printing.js';

const DESCRIPTION = `Labels texts with a classifier that train.js made, or with a bundle whose model decides by
itself: labels of texts, numbers, or labels of tokens and spans. Gives a JSON line a text, in order.

  echo 这本书很好 | node node_bridge/predict.js --model artifacts/classifier
  node node_bridge/predict.js --model artifacts/classifier 这本书很好 一般 "不 推荐"
`;

const OPTIONS = {
  model: requiredOption({ value: 'DIR', help: 'the classifier, a directory that train.js wrote; or a bundle with a classifier' }),
  bundle: textOption({ value: 'DIR', help: 'its bundle, if it is no longer where it was at training' }),
  backend: backendOption,
  workers: fewWorkersOption,
  requireSignature: signatureOption,
  jsonl: jsonLinesOption(
    'the other fields are in the answers too, and one whose name the answer needs, such as `label`, is `input_label` there',
  ),
  columns: columnsOption('with --jsonl: the fields by name, such as review=text'),
  encoding: encodingOption,
  ...longOptionsOfBundles,
  top: wholeNumberOption({ value: 'K', help: 'the K most probable labels in order, instead of all probabilities' }),
  strict: flagOption(
    'stops at a broken line; without it the error is on stderr, {"line": N, "error": "…"} is the answer, the rest goes on, ' +
      'and the exit code is 2',
  ),
};

/** @typedef {import('./support/options.js').Values<typeof OPTIONS>} Values */

/** Names of fields that every kind of answer may have, besides those in ANSWER_FIELDS. */
const COMMON_FIELDS = ['text', 'sentence1', 'sentence2', 'line', 'error'];

await runCommand({ description: DESCRIPTION, options: OPTIONS, positionals: 'texts', main });

/** @param {Values} options @param {string[]} texts */
async function main(options, texts) {
  const { jsonl, strict, top = 0 } = options;
  if (jsonl && texts.length > 0) throw new UserError('--jsonl is for stdin; got texts on the command line too');
  const format = createFormat(options);
  const classifier = await openClassifier(options);
  if (classifier.task === 'pair' && !jsonl) {
    throw new UserError('This classifier takes pairs; give --jsonl, and on stdin objects with `sentence1` and `sentence2`');
  }
  printMessages(classifier.notice);
  if (texts.length > 0) return printPredictions(classifier, texts, top);
  try {
    await printPredictions(classifier, strict ? readStrictTexts(jsonl, format, classifier) : readStdinTexts(jsonl, format), top);
  } finally {
    process.stdin.destroy(); // a pending read would keep the program running after a failure
  }
}

/** @param {Values} options @returns {Promise<Classifier | TokenClassifier>} */
async function openClassifier({
  model: dir,
  bundle,
  backend,
  workers: encoders,
  top,
  requireSignature: trustedKeys,
  ...options
}) {
  const { long, stride, windowPooling } = options;
  const workers = countCommandWorkers(encoders);
  const task = isBundle(dir) ? Bundle.open(dir, { trustedKeys }).contract.classifier?.task : undefined;
  const ranks = task === undefined || ANSWER_FIELDS[task].includes('top');
  if (top !== undefined && !ranks) {
    throw new UserError(`--top ranks the labels of a text, but ${dir} decides ${task}; leave it out`);
  }
  if (task === 'token_labels' && bundle === undefined) {
    if (windowPooling !== undefined) throw new UserError('--window-pooling: a token has the label of one window; leave it out');
    return TokenClassifier.load(dir, { backend, workers, trustedKeys, long: /** @type {'cut' | 'windows'} */ (long), stride });
  }
  return Classifier.load(dir, { bundle, backend, workers, trustedKeys, long, stride, windowPooling });
}

/**
 * @param {Values} options
 * @returns {import('./data/text_stream.js').StdinFormat}
 */
function createFormat({ encoding, columns, jsonl }) {
  if (columns !== undefined && (!jsonl || columns.order !== undefined)) {
    throw new UserError(
      'Expected --columns by name and with --jsonl, such as --jsonl --columns review=text: lines of text have no columns',
    );
  }
  return { encoding, columns };
}

/** @param {boolean} jsonl @param {import('./data/text_stream.js').StdinFormat} format @param {Classifier | TokenClassifier} classifier */
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
 * @param {Classifier | TokenClassifier} classifier
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
  // The names do not depend on other options, so that other fields have the same names in every run.
  const names = new Set([...COMMON_FIELDS, ...ANSWER_FIELDS[classifier.problemType]]);
  const answers =
    classifier instanceof TokenClassifier
      ? classifier.stream(read(), { keepBroken: true })
      : classifier.stream(read(), { top, keepBroken: true });
  for await (const answer of answers) {
    line += 1;
    const beside = others.shift() ?? {};
    if ('error' in answer) {
      broken += 1;
      const { message } = answer.error;
      printMessages(`stdin:${line}: ${message}`);
      await printJson({ line, error: toPrintable(message) });
    } else {
      const { probabilities: _, ...rest } = /** @type {Record<string, unknown>} */ ({ ...answer });
      await printJson(mergeOtherFields(top > 0 ? rest : answer, beside, names));
    }
  }
  printMessages(classifier.lengths.describe());
  if (broken > 0) throw new UserError(`${broken} of ${line} lines are broken; an \`error\` stands in the place of each`);
}

/**
 * Adds the other fields of an input to its answer. A field whose name an answer may have becomes `input_…`.
 *
 * @param {object} answer
 * @param {Record<string, unknown>} others
 * @param {Set<string>} answerNames names of fields that an answer may have
 */
function mergeOtherFields(answer, others, answerNames) {
  const names = new Set(Object.keys(others).filter((name) => !answerNames.has(name)));
  const renamed = Object.entries(others).map(([name, value]) => {
    if (!answerNames.has(name)) return [name, value];
    let free = `input_${name}`;
    while (names.has(free)) free = `input_${free}`;
    names.add(free);
    return [free, value];
  });
  return { ...answer, ...Object.fromEntries(renamed) };
}
