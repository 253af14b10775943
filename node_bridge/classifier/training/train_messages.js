/** The messages of train.js: at the start, after each epoch, and at the end. */
import { launcherName } from '../../support/command_names.js';
import { shortenPath } from '../../support/files.js';
import { formatConfusion, wilsonInterval95 } from '../evaluation/evaluation.js';
import { formatAccuracy, formatPercent } from '../evaluation/evaluation_messages.js';
import { summarizeConfusion } from '../evaluation/metrics.js';

/**
 * @typedef {import('../../bundle/bundle.js').Bundle} Bundle
 * @typedef {import('./training.js').TrainingProblem} Problem
 * @typedef {import('./training.js').EpochResult} EpochResult
 * @typedef {import('../evaluation/evaluation.js').Evaluation} Evaluation
 * @typedef {import('./data_report.js').DataReport} DataReport
 */

/** @param {Bundle} bundle @param {Problem} problem */
export function formatIntroduction({ contract, dir }, { train, dev, labels }) {
  const { name, trained } = contract;
  const weights =
    trained === false ? 'UNTRAINED WEIGHTS: a seeded model' : trained ? 'trained weights' : 'weights of unknown training';
  return [
    `bundle ${name} (${weights}), ${shortenPath(dir)}`,
    `${train.count} training and ${dev.count} dev texts (${train.task}), ` +
      `labels ${labels.slice(0, 8).join(', ')}${labels.length > 8 ? `, … (${labels.length})` : ''}; ` +
      '[CLS] and [SEP] are added',
  ];
}

/** @param {EpochResult} epoch */
export function formatEpoch({ loss, accuracy, devLoss, devAccuracy, devMacroF1 }) {
  return (
    `loss ${loss.toFixed(4)}, accuracy ${formatPercent(accuracy)}, ` +
    `dev loss ${devLoss.toFixed(4)}, dev accuracy ${formatPercent(devAccuracy)}, macro-F1 ${formatPercent(devMacroF1)}`
  );
}

/**
 * @param {{evaluation: Evaluation, labels: string[], metrics: import('../evaluation/metrics.js').Metrics,
 *   bestEpoch: number, bestBy: string, out: string, next: string}} result
 */
export function formatResult({ evaluation, labels, metrics, bestEpoch, bestBy, out, next }) {
  return [
    '',
    ...formatConfusion(evaluation.confusion, labels),
    '',
    `dev ${formatAccuracy(metrics)}`,
    `macro-F1 ${formatPercent(evaluation.macroF1)}; epoch ${bestEpoch} is the best by ${bestBy}; ` +
      `saved in ${shortenPath(out)} with training.html; next:`,
    `  ${next}`,
  ];
}

/**
 * Builds the summary for `--json`.
 *
 * @param {{details: object, bundle: Bundle, problem: Problem, history: EpochResult[],
 *   evaluation: Evaluation, report: DataReport, warnings: string[], out: string}} result
 */
export function buildSummary({ details, bundle, problem: { train, dev, labels }, history, evaluation, report, warnings, out }) {
  return {
    classifier: out,
    ...details,
    bundle: { dir: bundle.dir, name: bundle.contract.name, hash: bundle.hash, trained: bundle.contract.trained },
    texts: { train: train.count, dev: dev.count },
    labels,
    data: { ...report, warnings },
    history: history.map(
      ({ devLoss: dev_loss, devAccuracy: dev_accuracy, devMacroF1: dev_macro_f1, learningRate: learning_rate, ...epoch }) => ({
        ...epoch,
        learning_rate,
        dev_loss,
        dev_accuracy,
        dev_macro_f1,
      }),
    ),
    dev_loss: evaluation.loss,
    dev_accuracy_interval: wilsonInterval95(evaluation.accuracy, dev.count),
    majority_accuracy: report.majority.dev_accuracy,
    ...summarizeConfusion(evaluation.confusion),
  };
}

/**
 * The command that tries the classifier, as a person would type it here.
 *
 * @param {string} program
 * @param {string} out the directory of the classifier
 * @param {string} task
 */
export function buildPredictCommand(program, out, task) {
  const launcher = launcherName();
  const predict = launcher === undefined ? `node ${quoteForShell(shortenPath(program))}` : `${launcher} predict`;
  const script = `${predict} --model ${quoteForShell(shortenPath(out))}`;
  return task === 'pair'
    ? `echo '{"sentence1": "这本书很好", "sentence2": "这本书不错"}' | ${script} --jsonl`
    : `echo 这本书很好 | ${script}`;
}

/** Quotes a word for a shell. @param {string} word */
function quoteForShell(word) {
  return /^[\w./~+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
