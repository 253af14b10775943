/**
 * Reads texts as a classifier does that does not cut them; long_texts.py is the counterpart. The vectors and
 * probabilities are those of the library's own path, and the ids those of the rows that it makes.
 */
import { encodeFeatures } from '../../node_bridge/encoder/features.js';
import { TextReader } from '../../node_bridge/tokenizer/long_texts.js';

/**
 * Computes the answers to one batch. A tensor of ids has a row for each row of each text, in order; the vectors, the
 * probabilities and the labels are of texts.
 *
 * @param {import('../../node_bridge/data/text.js').Text[]} texts
 * @param {{tokenizer: import('../../node_bridge/tokenizer/index.js').Tokenizer,
 *   encoder: import('../../node_bridge/encoder/encoder.js').Encoder, classifier: import('../../node_bridge/classifier/head.js').Head}} tools
 */
export async function runLongBatch(texts, { tokenizer, encoder, classifier }) {
  const { max_length: maxLength, long } = /** @type {import('../../node_bridge/classifier/classifier_files.js').Description} */ (
    classifier.description
  );
  const reader = new TextReader(tokenizer, { maxLength, long });
  const rows = texts.flatMap((text) => {
    const reading = reader.read(text);
    return Array.from({ length: reading.count }, (_, i) => reading.row(i));
  });
  const vectors = await encodeFeatures(texts, { tokenizer, encoder }, { maxLength, long, pooling: classifier.pooling });
  const probabilities = await classifier.probabilities(vectors);
  return {
    tokens: rows.map(({ ids }) => Array.from(ids, (id) => tokenizer.vocab[id])),
    offsets: [],
    labels: probabilities.map((row) => [classifier.labelOf(row)]),
    tensors: {
      ...encoder.pad(rows),
      vectors: stackRows(vectors),
      probabilities: stackRows(probabilities),
    },
  };
}

/**
 * One array of the numbers of all texts, padded with zeros to the longest.
 *
 * @param {Float32Array[]} rows
 */
export function stackRows(rows) {
  const width = rows.reduce((most, { length }) => Math.max(most, length), 0);
  const data = new Float32Array(rows.length * width);
  rows.forEach((row, index) => data.set(row, index * width));
  return { shape: [rows.length, width], data };
}
