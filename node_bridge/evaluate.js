/** `node node_bridge/evaluate.js` measures how well a classifier labels texts whose labels are known. */
import { availableParallelism } from 'node:os';
import { basename, resolve } from 'node:path';

import { Classifier } from './classifier/classifier.js';
import { evaluateClassifier } from './classifier/evaluation/classifier_evaluation.js';
import { assertEvaluationDirectory, FORMAT, WRONG_TEXTS, writeEvaluation } from './classifier/evaluation/evaluation_files.js';
import { formatEvaluation } from './classifier/evaluation/evaluation_messages.js';
import { renderEvaluationPage } from './classifier/evaluation/evaluation_page.js';
import { Dataset } from './data/dataset.js';
import { backendOption, longOptionsOfBundles, workersOption } from './model_options.js';
import { columnsOption, encodingOption, jsonOption, signatureOption } from './shared_options.js';
import { runCommand } from './support/command_line.js';
import { UserError } from './support/errors.js';
import { shortenPath } from './support/files.js';
import { flagOption, requiredOption, textOption } from './support/options.js';
import { printJson, printLines, printMessages } from './support/printing.js';
import { startProgress } from './support/progress.js';
import { hashFile } from './support/sha256.js';
import { describeLongRule } from './tokenizer/long_rule.js';

const VERSION = 1;
/** How many wrong texts the JSON document has. */
const MAX_WRONG_TEXTS = 50;

const DESCRIPTION = `Evaluates a classifier on labelled texts: accuracy, precision, recall and F1 of each label,
confusion, calibration, the threshold where there are two labels, and the texts that it got wrong.

  node node_bridge/evaluate.js --model artifacts/classifier --data artifacts/data/dev.jsonl
`;

const OPTIONS = {
  model: requiredOption({
    value: 'DIR',
    help: 'the classifier: a directory that train.js wrote, or a bundle that classifies by itself',
  }),
  data: requiredOption({
    value: 'FILE',
    help: 'texts with labels: JSON lines, a JSON array, or a table with a header, as train.js takes them',
  }),
  out: textOption({
    value: 'DIR',
    help: `gets evaluation.json, evaluation.html, and in ${WRONG_TEXTS} all texts that it got wrong, the most confident first`,
  }),
  bundle: textOption({ value: 'DIR', help: 'its bundle, if it is no longer where it was at training' }),
  columns: columnsOption('what the columns are, in order, such as label,text, or by name, such as review=text,stars=label'),
  noHeader: flagOption('the first line of a table is data; needs --columns'),
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
async function main({ model, data, out, json, bundle, backend, workers = availableParallelism(), ...options }) {
  if (out !== undefined) assertEvaluationDirectory(out);
  const layout = { encoding: options.encoding, columns: options.columns, hasHeader: !options.noHeader };
  const { requireSignature: trustedKeys, long, stride, windowPooling } = options;
  const classifier = await Classifier.load(model, { bundle, backend, workers, trustedKeys, long, stride, windowPooling });
  if (classifier.problemType !== 'single_label') {
    throw new UserError(`${model} decides ${classifier.problemType}; evaluate.js measures classifiers of single_label`);
  }
  const dataset = await Dataset.read(data, layout, { onColumns: printMessages });
  printMessages(classifier.notice, `${dataset.count} texts (${dataset.task}) of ${shortenPath(data)}`);
  const { metrics, confusion, wrong } = await evaluateWithProgress(classifier, dataset);
  classifier.dispose();
  const { lengths } = classifier;
  printMessages(lengths.describe());

  const sha256 = await hashFile(data);
  const document = {
    ...{ format: FORMAT, version: VERSION, classifier: model, task: dataset.task, data: { path: data, sha256 } },
    long_texts: { texts: lengths.longer, max_length: lengths.maxLength, read_by: describeLongRule(lengths.long) },
    ...metrics,
    most_confident_errors: wrong.slice(0, MAX_WRONG_TEXTS),
  };
  if (out !== undefined) {
    const page = renderEvaluationPage({
      title: `Evaluation of ${basename(resolve(model))} on ${basename(data)}`,
      facts: [
        ['texts', `${dataset.count} (${dataset.task})`],
        ['data file', basename(data)],
        ['its sha256', sha256],
        [`texts of more than ${lengths.maxLength} positions`, `${lengths.longer}, read by: ${describeLongRule(lengths.long)}`],
      ],
      ...{ metrics, wrong, allWrong: `All of them are in ${WRONG_TEXTS}.` },
    });
    writeEvaluation(out, { document, page, wrong });
  }
  const written = out === undefined ? [] : [`saved in ${shortenPath(out)}, with evaluation.html`];
  if (json) {
    printMessages(...written);
    await printJson(document);
  } else printLines(...formatEvaluation(metrics, confusion, wrong.at(0)), ...written);
}

/** @param {Classifier} classifier @param {Dataset} dataset */
async function evaluateWithProgress(classifier, dataset) {
  const bar = startProgress('evaluating texts', dataset.count);
  try {
    const evaluation = await evaluateClassifier(classifier, dataset, bar.advance);
    bar.done();
    return evaluation;
  } finally {
    bar.stop();
  }
}
