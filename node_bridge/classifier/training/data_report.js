/**
 * Finds problems of labelled data whose lines are all valid: texts in both sets, labels that
 * contradict each other, too few dev texts, labels out of balance. These are warnings; training
 * goes on.
 */
import { KeyTable } from '../../data/text_keys.js';
import { describeLongRule } from '../../tokenizer/long_rule.js';
import { wilsonHalfWidth95 } from '../evaluation/evaluation.js';

/** A warning comes if dev accuracy is more uncertain than this. */
const MAX_UNCERTAINTY = 0.05;
/** A warning comes if a label has more than this share of the training texts, or this many times the rarest. */
const MAJORITY_SHARE = 0.8;
const MAJORITY_RATIO = 10;
/** If there are more labels than this, and more than half as many as texts, they are texts or row numbers. */
const MANY_LABELS = 20;
/** How many contradictions and labels are named; the rest is counted. */
const SHOWN = 3;
const SHOWN_LABELS = 8;

/**
 * @typedef {import('../../data/dataset.js').Dataset} Dataset
 * @typedef {Omit<import('./training.js').TrainingProblem, 'golden'>} Problem
 *
 * @typedef {object} Contradictions texts that have several labels
 * @property {number} texts how many distinct texts
 * @property {[number, number][]} lines for the first few: the line of the text, and a line where it has
 *   another label
 *
 * @typedef {object} Cuts
 * @property {number} texts that were longer than the limit
 * @property {number} share of all texts
 * @property {number} tokens_lost
 * @property {number} tokens_lost_share
 * @property {number} longest in positions, [CLS] and [SEP] counted
 * @property {number} [windows] that these texts have, if they are read in windows
 *
 * @typedef {object} DataReport
 * @property {{texts: number, distinct: number, other_label: number}} overlap dev texts that are
 *   training texts too, and how many of them have another label there
 * @property {{train: Contradictions, dev: Contradictions}} contradictions
 * @property {{label: string, train_share: number, dev_accuracy: number}} majority the commonest label
 *   in training, and the dev accuracy of always predicting it
 * @property {{label: string, texts: number}} rarest label in training
 * @property {string[]} labels_without_dev
 * @property {number} dev_uncertainty half of the 95 % interval of a dev accuracy of a half
 * @property {Cuts} cut
 */

/**
 * @param {Problem} problem
 * @param {import('../../tokenizer/length_tally.js').LengthTally} lengths of all texts
 * @returns {Promise<DataReport>}
 */
export async function buildDataReport({ train, dev, labels, targets, devTargets }, lengths) {
  const table = indexTexts(train);
  const devTable = indexTexts(dev);
  const overlap = { texts: 0, distinct: 0, other_label: 0 };
  for (let i = 0; i < dev.count; i += 1) {
    const trainIndex = table.get(dev.key(i));
    if (trainIndex === undefined) continue;
    overlap.texts += 1;
    overlap.distinct += Number(devTable.get(dev.key(i)) === i);
    overlap.other_label += Number(targets[trainIndex] !== devTargets[i]);
  }
  const counts = countLabels(targets, labels.length);
  const devCounts = countLabels(devTargets, labels.length);
  const commonest = counts.indexOf(counts.reduce((a, b) => Math.max(a, b)));
  const rarestLabel = counts.indexOf(counts.reduce((a, b) => Math.min(a, b)));
  return {
    overlap,
    contradictions: {
      train: await findContradictions(train, table, targets),
      dev: await findContradictions(dev, devTable, devTargets),
    },
    majority: {
      label: labels[commonest],
      train_share: counts[commonest] / train.count,
      dev_accuracy: devCounts[commonest] / dev.count,
    },
    rarest: { label: labels[rarestLabel], texts: counts[rarestLabel] },
    labels_without_dev: labels.filter((_, label) => devCounts[label] === 0),
    dev_uncertainty: wilsonHalfWidth95(0.5, dev.count),
    cut: summarizeLengths(lengths),
  };
}

/** @param {import('../../tokenizer/length_tally.js').LengthTally} lengths @returns {Cuts} */
function summarizeLengths({ texts, longer, positions, unread, longest, rows, long }) {
  return {
    texts: longer,
    share: longer / texts,
    tokens_lost: unread,
    tokens_lost_share: unread / positions,
    longest,
    ...(long?.choice === 'windows' ? { windows: rows } : {}),
  };
}

/** A table from the key of each distinct text to its first example. @param {Dataset} dataset */
function indexTexts(dataset) {
  const table = new KeyTable();
  for (let i = 0; i < dataset.count; i += 1) table.add(dataset.key(i), i);
  return table;
}

/**
 * @param {Dataset} dataset
 * @param {KeyTable} table
 * @param {Int32Array} targets
 * @returns {Promise<Contradictions>}
 */
async function findContradictions(dataset, table, targets) {
  /** @type {Map<number, number>} from the first example of a text to the first one with another label */
  const found = new Map();
  for (let i = 0; i < dataset.count; i += 1) {
    const first = /** @type {number} */ (table.get(dataset.key(i)));
    if (targets[first] !== targets[i] && !found.has(first)) found.set(first, i);
  }
  if (found.size === 0) return { texts: 0, lines: [] };
  const shown = [...found].slice(0, SHOWN);
  const lines = await dataset.linesOf(shown.flat());
  return { texts: found.size, lines: shown.map((_, i) => [lines[2 * i], lines[2 * i + 1]]) };
}

/** @param {Int32Array} targets @param {number} labels */
function countLabels(targets, labels) {
  const counts = new Array(labels).fill(0);
  for (const target of targets) counts[target] += 1;
  return counts;
}

/**
 * The report as lines for people. If all is well there is one line, about texts that are cut.
 *
 * @param {DataReport} report
 * @param {Problem} problem
 * @param {{maxLength: number, long?: import('../../tokenizer/long_rule.js').LongRule}} how texts are read
 * @param {(path: string) => string} [nameFile] what a data file is called; by default its path
 * @returns {string[]}
 */
export function formatWarnings(report, { train, dev, labels }, { maxLength, long }, nameFile = (path) => path) {
  const { overlap, contradictions, majority, rarest, labels_without_dev: missing, dev_uncertainty: uncertainty, cut } = report;
  const sets = dev.path === train.path ? [train] : [train, dev];
  const lines = sets.flatMap(({ path, oddities }) => formatOddities(nameFile(path), oddities));
  if (overlap.texts > 0) {
    const other = overlap.other_label > 0 ? `, ${overlap.other_label} of them with another label` : '';
    lines.push(
      `${overlap.texts} of ${dev.count} dev texts (${overlap.distinct} distinct) are training texts too${other}: ` +
        'dev accuracy is too high; take them out of one side, or use --split',
    );
  }
  for (const [{ path }, { texts, lines: pairs }] of /** @type {const} */ ([
    [train, contradictions.train],
    [dev, contradictions.dev],
  ])) {
    if (texts === 0) continue;
    const examples = pairs.map((pair) => pair.join(' and ')).join('; ');
    lines.push(
      `${nameFile(path)}: ${formatCount(texts, 'text has', 'texts have')} more than one label, such as lines ${examples}`,
    );
  }
  if (uncertainty > MAX_UNCERTAINTY) {
    lines.push(
      `only ${formatCount(dev.count, 'dev text', 'dev texts')}: dev accuracy is uncertain by up to ±${formatPercent(uncertainty)} points (95 % interval)`,
    );
  }
  if (missing.length > 0) {
    const names = missing.slice(0, SHOWN_LABELS).join(', ') + (missing.length > SHOWN_LABELS ? `, … (${missing.length})` : '');
    lines.push(`no dev text has the label ${names}: how well it is found stays unknown`);
  }
  if (majority.train_share > MAJORITY_SHARE || majority.train_share * train.count >= MAJORITY_RATIO * rarest.texts) {
    lines.push(
      `the labels are out of balance: ${formatPercent(majority.train_share)} % of the training texts are ${majority.label}, ` +
        `${formatPercent(rarest.texts / train.count)} % are ${rarest.label} (${labels.length} labels); always ${majority.label} has a dev accuracy of ` +
        `${formatPercent(majority.dev_accuracy)} %; consider --class-weights balanced and --best-by macro-f1`,
    );
  }
  if (labels.length > MANY_LABELS && 2 * labels.length > train.count) {
    lines.push(
      `${labels.length} labels for ${train.count} training texts: is the column of the label the right one? see --columns`,
    );
  }
  lines.push(describeCuts(cut, train.count + dev.count, maxLength, long));
  return lines;
}

/**
 * What becomes of texts that are too long.
 *
 * @param {Cuts} cut
 * @param {number} all how many texts there are
 * @param {number} maxLength
 * @param {import('../../tokenizer/long_rule.js').LongRule} [long]
 */
function describeCuts({ texts, share, tokens_lost_share: lost, longest, windows }, all, maxLength, long) {
  if (texts === 0) return `no text is cut at ${maxLength} positions; the longest has ${longest}`;
  const which = `${texts} of ${all} texts (${formatPercent(share)} %)`;
  const loss = `lose ${formatPercent(lost)} % of all tokens`;
  const end = `; the longest has ${longest}`;
  if (long === undefined) return `${which} are cut at ${maxLength} positions and ${loss}${end}, see --max-length and --long`;
  const how = `${which} are longer than ${maxLength} positions and are read by ${describeLongRule(long)}`;
  if (windows === undefined) return `${how}: they ${loss}${end}`;
  return `${how}: ${windows} windows${lost > 0 ? `, ${loss}` : ''}${end}`;
}

/** @param {string} name of the data file @param {Dataset['oddities']} oddities */
function formatOddities(name, { trimmed, whole, blank }) {
  const lines = [];
  const from = (/** @type {{line: number}} */ { line }) => `from line ${line} on`;
  if (trimmed.count > 0)
    lines.push(`${name}: white space around ${formatCount(trimmed.count, 'label', 'labels')} was removed, ${from(trimmed)}`);
  if (whole.count > 0)
    lines.push(`${name}: ${formatCount(whole.count, 'label', 'labels')} such as 1.0 were read as integers, ${from(whole)}`);
  if (blank.count > 0) lines.push(`${name}: ${formatCount(blank.count, 'text is', 'texts are')} empty, ${from(blank)}`);
  return lines;
}

/** @param {number} count @param {string} one @param {string} many */
function formatCount(count, one, many) {
  return `${count} ${count === 1 ? one : many}`;
}

/** In percent. @param {number} share */
function formatPercent(share) {
  return (100 * share).toFixed(1);
}
