/** `node node_bridge/evaluate.js` measures how well a classifier labels texts whose labels are known. */
import { availableParallelism } from 'node:os';
import { basename, resolve } from 'node:path';

import { Bundle } from './bundle/bundle.js';
import { Classifier } from './classifier/classifier.js';
import { isBundle } from './classifier/decisions/bundle_head.js';
import { assertEvaluationDirectory, FORMAT, WRONG_TEXTS, writeEvaluation } from './classifier/evaluation/evaluation_files.js';
import { renderEvaluationPage } from './classifier/evaluation/evaluation_page.js';
import { TASKS } from './classifier/evaluation/tasks/index.js';
import { TokenClassifier } from './classifier/token_classifier.js';
import { DEFAULT_SEPARATOR } from './data/targets.js';
import { countCommandWorkers } from './encoder/encoder_pool.js';
import { backendOption, longOptionsOfBundles, workersOption } from './model_options.js';
import { columnsOption, encodingOption, jsonOption, signatureOption } from './shared_options.js';
import { runCommand } from './support/command_line.js';
import { shortenPath } from './support/files.js';
import { flagOption, requiredOption, textOption } from './support/options.js';
import { printJson, printLines, printMessages } from './support/printing.js';
import { startProgress } from './support/progress.js';
import { hashFile } from './support/sha256.js';
import { describeLongRule } from './tokenizer/long_rule.js';

const VERSION = 1;

const DESCRIPTION = `Evaluates a classifier on labelled texts: accuracy, precision, recall and F1 of each label,
confusion, calibration, the threshold where there are two labels, and the texts that it got wrong. A bundle
that gives several labels, numbers or entities is measured by what it gives.

  node node_bridge/evaluate.js --model artifacts/classifier --data artifacts/data/dev.jsonl
`;

const OPTIONS = {
  model: requiredOption({
    value: 'DIR',
    help: 'the classifier: a directory that train.js wrote, or a bundle that classifies by itself',
  }),
  data: requiredOption({
    value: 'FILE',
    help:
      'texts with labels: JSON lines, a JSON array, or a table with a header, as train.js takes them; for labels of tokens ' +
      'JSON with `text` and `spans`, or `tokens` and `tags`, or columns of tokens and tags with blank lines between texts',
  }),
  out: textOption({
    value: 'DIR',
    help: `gets evaluation.json, evaluation.html, and in ${WRONG_TEXTS} all texts that it got wrong, the most confident first`,
  }),
  bundle: textOption({ value: 'DIR', help: 'its bundle, if it is no longer where it was at training' }),
  columns: columnsOption('what the columns are, in order, such as label,text, or by name, such as review=text,stars=label'),
  noHeader: flagOption('the first line of a table is data; needs --columns'),
  labelSeparator: textOption({
    value: 'TEXT',
    help: 'between the labels of a text, or its numbers, where they are not a list',
    default: DEFAULT_SEPARATOR,
  }),
  encoding: encodingOption,
  ...longOptionsOfBundles,
  backend: backendOption,
  workers: workersOption,
  requireSignature: signatureOption,
  json: jsonOption,
};

/** @typedef {import('./support/options.js').Values<typeof OPTIONS>} Values */

await runCommand({ description: DESCRIPTION, options: OPTIONS, main });

/** @param {Values} options */
async function main({ model, data, out, json, labelSeparator: separator, ...options }) {
  if (out !== undefined) assertEvaluationDirectory(out);
  const layout = { encoding: options.encoding, columns: options.columns, hasHeader: !options.noHeader };
  const classifier = await openClassifier(model, options);
  const { problemType } = classifier;
  const task = TASKS[problemType];
  const texts = await task.read(data, { layout, separator }, classifier, printMessages);
  printMessages(
    classifier.notice,
    ...describeWeights(classifier),
    `${texts.count} texts (${texts.task}) of ${shortenPath(data)}`,
  );
  const { figures, wrong, lines, ...shown } = await evaluateWithProgress(task, classifier, texts);
  classifier.dispose();
  const { lengths } = classifier;
  printMessages(lengths.describe());

  const sha256 = await hashFile(data);
  const document = {
    ...{ format: FORMAT, version: VERSION, classifier: model, problem_type: problemType, task: texts.task },
    ...{ data: { path: data, sha256 }, weights_trained: classifier.trained },
    long_texts: { texts: lengths.longer, max_length: lengths.maxLength, read_by: describeLongRule(lengths.long) },
    ...figures,
  };
  if (out !== undefined) {
    const page = renderEvaluationPage({
      title: `Evaluation of ${basename(resolve(model))} on ${basename(data)}`,
      trained: classifier.trained,
      summary: shown.summary,
      facts: [
        ['texts', `${texts.count} (${texts.task})`],
        ['data file', basename(data)],
        ['its sha256', sha256],
        [`texts of more than ${lengths.maxLength} positions`, `${lengths.longer}, read by: ${describeLongRule(lengths.long)}`],
        ...shown.facts,
      ],
      sections: shown.sections,
    });
    writeEvaluation(out, { document, page, wrong });
  }
  const written = out === undefined ? [] : [`saved in ${shortenPath(out)}, with evaluation.html`];
  if (json) {
    printMessages(...written);
    await printJson(document);
  } else printLines(...lines, ...written);
}

/**
 * @param {string} dir
 * @param {Pick<Values, 'bundle' | 'backend' | 'workers' | 'requireSignature' | 'long' | 'stride' | 'windowPooling'>} options
 * @returns {Promise<Classifier | TokenClassifier>}
 */
async function openClassifier(dir, { bundle, requireSignature: trustedKeys, ...options }) {
  const { backend, long, stride, windowPooling } = options;
  const workers = countCommandWorkers(options.workers ?? availableParallelism());
  const task = isBundle(dir) ? Bundle.open(dir, { trustedKeys }).contract.classifier?.task : undefined;
  if (task === 'token_labels' && bundle === undefined) {
    return TokenClassifier.load(dir, { backend, workers, trustedKeys, long: /** @type {'cut' | 'windows'} */ (long), stride });
  }
  return Classifier.load(dir, { bundle, backend, workers, trustedKeys, long, stride, windowPooling });
}

/** A warning where the weights were never trained. @param {{trained: boolean | null}} classifier */
function describeWeights({ trained }) {
  return trained === false
    ? ['UNTRAINED WEIGHTS: the encoder is a seeded model, so no figure says how good a trained one is']
    : [];
}

/**
 * @param {typeof TASKS[keyof typeof TASKS]} task
 * @param {Classifier | TokenClassifier} classifier
 * @param {{count: number}} texts
 */
async function evaluateWithProgress(task, classifier, texts) {
  const bar = startProgress('evaluating texts', texts.count);
  try {
    const evaluated = await task.evaluate(classifier, texts, bar.advance);
    bar.done();
    return evaluated;
  } finally {
    bar.stop();
  }
}
