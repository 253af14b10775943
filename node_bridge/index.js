/**
 * The exports of the package 'bert-bridge'.
 *
 * @example
 * import { Bundle, Classifier, Encoder, Tokenizer } from 'bert-bridge';
 *
 * const tokenizer = Tokenizer.fromBundle(Bundle.open('artifacts/bundle/albert_tiny'));
 * const { ids, tokens } = tokenizer.encodeWithTokens('这本书很好');
 *
 * const encoder = await Encoder.load('artifacts/bundle/albert_tiny');
 * const [vector] = await encoder.encode(['这本书很好']);
 *
 * const classifier = await Classifier.load('artifacts/classifier');
 * const { label, probability } = await classifier.predict('这本书很好');
 */

/**
 * @typedef {import('./classifier/prediction.js').Broken} Broken
 * @typedef {import('./classifier/prediction.js').Prediction} Prediction
 * @typedef {import('./classifier/prediction.js').Ranked} Ranked
 * @typedef {import('./data/text.js').GivenText} GivenText
 * @typedef {import('./tokenizer/index.js').Encoding} Encoding
 * @typedef {import('./tokenizer/index.js').DetailedEncoding} DetailedEncoding
 */

export { Bundle } from './bundle/bundle.js';
export { Classifier } from './classifier/classifier.js';
export { Encoder } from './encoder/encoder.js';
export { CheckFailed, EnvironmentProblem, UserError } from './support/errors.js';
export { Tokenizer } from './tokenizer/index.js';
