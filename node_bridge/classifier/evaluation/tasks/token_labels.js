/** The evaluation of a model that labels tokens: entities, and the tags that they are made of. */
import { readTokenExamples } from '../../../data/token_examples.js';
import { UserError, withLocation } from '../../../support/errors.js';
import { CONTINUATION, splitLabel } from '../../decisions/spans.js';
import { CalibrationCounter } from '../calibration.js';
import { computeMacroF1 } from '../evaluation.js';
import { answerTexts, checkTexts } from '../labelled_texts.js';
import { computeLabelFigures, computeMicroFigures } from '../metrics.js';
import { MAX_SHOWN_TEXTS } from '../wrong_texts.js';
import { findEntities, tagSpans, tagUnits } from './tags.js';
import { formatTokenLabels, formatTokenSummary, renderTokenLabels } from './token_labels_report.js';

/** How many labels an error names. */
const MAX_NAMED = 20;

/**
 * @typedef {import('../../../data/token_examples.js').TokenExample} TokenExample
 * @typedef {import('../../token_classifier.js').TokenPrediction} Answer
 * @typedef {import('./tags.js').Tag} Tag
 * @typedef {import('./tags.js').Entity} Entity
 *
 * @typedef {object} Place an entity in its text
 * @property {string} label
 * @property {string} text
 * @property {number} start in UTF-16 units of the text
 * @property {number} end in UTF-16 units of the text
 *
 * @typedef {object} WrongEntities
 * @property {number} line where the text begins in the data file
 * @property {string} text
 * @property {Place[]} missing entities that were not found, or not with the same place and type
 * @property {(Place & {probability: number})[]} extra entities that are not in the data; `probability`: the mean of
 *   their characters' probabilities
 *
 * @typedef {object} EntityFigures of one type; see LabelFigures
 * @property {string} label the type, such as `PER`
 * @property {number | null} precision
 * @property {number | null} recall
 * @property {number | null} f1
 * @property {number} entities in the data; also called support
 * @property {number} predicted
 *
 * @typedef {object} TokenFigures the fields of the JSON document
 * @property {number} texts
 * @property {number} right texts of which all entities are right, and no other was predicted
 * @property {number} tokens that the data have: its tokens, or the characters of its texts
 * @property {number} token_accuracy the share whose tag is right
 * @property {number} outside_share of the tokens whose tag is `O`: the accuracy of always saying it
 * @property {number} tokens_without_answer because the text was cut, or the tokenizer leaves them out; they count as `O`
 * @property {number | null} micro_precision
 * @property {number | null} micro_recall
 * @property {number | null} micro_f1
 * @property {number | null} macro_f1 null if there is no entity
 * @property {EntityFigures[]} labels
 * @property {import('../calibration.js').Calibration} calibration of the predicted entities
 */

/** @type {import('./index.js').EvaluationTask<any, import('../labelled_texts.js').LabelledTexts<TokenExample>>} */
export const TOKEN_LABELS = {
  read(path, { layout: { encoding, columns, hasHeader = true } }, classifier, onColumns) {
    if (columns !== undefined || !hasHeader) {
      throw new UserError(
        '--columns and --no-header are for files with a label for each text; labels of tokens are `spans` or `tags`',
      );
    }
    const scheme = new TaggingScheme(classifier);
    const read = async function* () {
      for await (const example of readTokenExamples(path, encoding)) {
        withLocation(`${path}:${example.line}`, () => scheme.tagsOf(example));
        yield example;
      }
    };
    return checkTexts(path, read, onColumns);
  },

  async evaluate(classifier, texts, onTexts) {
    const counts = new EntityCounts(new TaggingScheme(classifier));
    for await (const { example, answer } of answerTexts(classifier, texts, onTexts))
      counts.add(example, /** @type {Answer} */ (answer));
    const { figures, wrong } = counts.summarize();
    return {
      figures: { ...figures, wrong_texts: wrong.slice(0, MAX_SHOWN_TEXTS) },
      wrong,
      lines: formatTokenLabels(figures, wrong.at(0)),
      summary: formatTokenSummary(figures),
      facts: [],
      sections: renderTokenLabels(figures, wrong),
    };
  },
};

/** What the labels of a model mean. */
class TaggingScheme {
  /** @param {{labels: string[], scheme?: import('./tags.js').Scheme}} classifier */
  constructor({ labels, scheme = 'none' }) {
    this.scheme = scheme;
    this.labels = new Set(labels);
    const tags = labels.map((label) => splitLabel(label, scheme));
    /** The types of entities, in the order of the labels. */
    this.types = [...new Set(tags.filter(({ prefix }) => prefix !== 'O').map(({ type }) => type))];
    this.prefixed = new Set(tags.filter(({ prefix }) => !['', 'O'].includes(prefix)).map(({ type }) => type));
  }

  /**
   * The true tags of a text.
   *
   * @param {TokenExample} example
   * @returns {Tag[]} of each unit
   * @throws {UserError} a tag, or the label of a span, is unknown to the classifier
   */
  tagsOf({ units, tags, spans = [] }) {
    if (tags === undefined) {
      for (const { label } of spans) if (!this.types.includes(label)) throw createUnknownError('the label', label, this.types);
      return tagSpans(units, spans, this.scheme, (type) => this.prefixed.has(type));
    }
    for (const tag of tags) if (tag !== 'O' && !this.labels.has(tag)) throw createUnknownError('the tag', tag, [...this.labels]);
    return tags.map((tag) => splitLabel(tag, this.scheme));
  }
}

/** @param {string} what @param {string} got @param {string[]} known */
function createUnknownError(what, got, known) {
  const some = known.slice(0, MAX_NAMED).join(', ') + (known.length > MAX_NAMED ? `, … (${known.length})` : '');
  return new UserError(`${what} ${JSON.stringify(got)} is unknown to the classifier, expected one of ${some}`);
}

/** Counts answers to texts. Memory grows with the texts that are wrong. */
class EntityCounts {
  #tagging;
  /** @type {Map<string, number>} */
  #typeIndices;
  #counts;
  #calibration = new CalibrationCounter();
  #sums = { texts: 0, tokens: 0, rightTokens: 0, outside: 0, withoutAnswer: 0 };
  /** @type {WrongEntities[]} in the order of the file */
  #wrong = [];

  /** @param {TaggingScheme} tagging */
  constructor(tagging) {
    this.#tagging = tagging;
    this.#typeIndices = new Map(tagging.types.map((type, i) => [type, i]));
    const [truths, predictions, right] = [0, 0, 0].map(() => new Int32Array(tagging.types.length));
    this.#counts = { truths, predictions, right };
  }

  /** @param {TokenExample} example @param {Pick<Answer, 'tokens'>} answer */
  add(example, { tokens }) {
    const { scheme } = this.#tagging;
    const { text, line, units } = example;
    const truths = this.#tagging.tagsOf(example);
    const answers = tagUnits(units, joinPieces(tokens, scheme));
    const tags = answers.map(({ tag }) => tag);
    this.#countTags(truths, answers);

    const [entities, predicted] = [findEntities(truths, scheme), findEntities(tags, scheme)];
    const [trueKeys, predictedKeys] = [entities, predicted].map((all) => new Set(all.map(keyOf)));
    for (const entity of entities) this.#counts.truths[this.#indexOf(entity)] += 1;
    const extra = [];
    for (const entity of predicted) {
      const isRight = trueKeys.has(keyOf(entity));
      const parts = answers.slice(entity.start, entity.end);
      const probability = parts.reduce((sum, part) => sum + (part.probability ?? 0), 0) / parts.length;
      this.#counts.predictions[this.#indexOf(entity)] += 1;
      this.#counts.right[this.#indexOf(entity)] += Number(isRight);
      this.#calibration.add(probability, isRight);
      if (!isRight) extra.push({ ...locate(entity, units, text), probability });
    }
    const missing = entities.filter((entity) => !predictedKeys.has(keyOf(entity))).map((entity) => locate(entity, units, text));
    if (missing.length + extra.length > 0) this.#wrong.push({ line, text, missing, extra });
  }

  /** @param {Tag[]} truths @param {{tag: Tag, probability: number | undefined}[]} answers */
  #countTags(truths, answers) {
    const sums = this.#sums;
    sums.texts += 1;
    sums.tokens += truths.length;
    for (const [i, { prefix, type }] of truths.entries()) {
      const { tag, probability } = answers[i];
      sums.rightTokens += Number(tag.prefix === prefix && tag.type === type);
      sums.outside += Number(prefix === 'O');
      sums.withoutAnswer += Number(probability === undefined);
    }
  }

  /** @param {Entity} entity */
  #indexOf({ type }) {
    return /** @type {number} */ (this.#typeIndices.get(type));
  }

  /** @returns {{figures: TokenFigures, wrong: WrongEntities[]}} `wrong`: those with the most wrong entities first */
  summarize() {
    const { texts, tokens, rightTokens, outside, withoutAnswer } = this.#sums;
    const macroF1 = computeMacroF1(this.#counts);
    const size = (/** @type {WrongEntities} */ { missing, extra }) => missing.length + extra.length;
    return {
      figures: {
        texts,
        right: texts - this.#wrong.length,
        tokens,
        token_accuracy: rightTokens / Math.max(tokens, 1),
        outside_share: outside / Math.max(tokens, 1),
        tokens_without_answer: withoutAnswer,
        ...computeMicroFigures(this.#counts),
        macro_f1: Number.isNaN(macroF1) ? null : macroF1,
        labels: computeLabelFigures(this.#counts, this.#tagging.types).map(({ texts: entities, predicted, ...figures }) => ({
          ...figures,
          entities,
          predicted,
        })),
        calibration: this.#calibration.summarize(),
      },
      wrong: this.#wrong.sort((a, b) => size(b) - size(a) || a.line - b.line),
    };
  }
}

/**
 * The words of a model: the label of the first piece counts, as in the spans of predict.js.
 *
 * @param {Answer['tokens']} tokens
 * @param {import('./tags.js').Scheme} scheme
 * @returns {import('./tags.js').Word[]}
 */
function joinPieces(tokens, scheme) {
  /** @type {import('./tags.js').Word[]} */
  const words = [];
  for (const { token, start, end, label, probability } of tokens) {
    const word = words.at(-1);
    if (word !== undefined && token.startsWith(CONTINUATION)) word.end = Math.max(word.end, end);
    else words.push({ start, end, tag: splitLabel(label, scheme), probability });
  }
  return words;
}

/** @param {Entity} entity */
function keyOf({ type, start, end }) {
  return `${start} ${end} ${type}`;
}

/** @param {Entity} entity @param {TokenExample['units']} units @param {string} text @returns {Place} */
function locate({ type, start, end }, units, text) {
  const [from, to] = [units[start].start, units[end - 1].end];
  return { label: type, text: text.slice(from, to), start: from, end: to };
}
