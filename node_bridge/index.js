/**
 * The exports of the package 'bert-bridge'.
 *
 * @example
 * import { Bundle, Classifier, Encoder, TokenClassifier, Tokenizer } from 'bert-bridge';
 *
 * const tokenizer = Tokenizer.fromBundle(Bundle.open('artifacts/bundle/albert_tiny'));
 * const { ids, tokens } = tokenizer.encodeWithTokens('这本书很好');
 *
 * const encoder = await Encoder.load('artifacts/bundle/albert_tiny');
 * const [vector] = await encoder.encode(['这本书很好']);
 *
 * const classifier = await Classifier.load('artifacts/classifier');
 * const { label, probability } = await classifier.predict('这本书很好');
 *
 * const entities = await TokenClassifier.load('./my_entities');
 * const { spans } = await entities.predict('张三住在北京');
 */

/**
 * @typedef {import('./classifier/prediction.js').Broken} Broken
 * @typedef {import('./classifier/decisions/answers.js').Prediction} Prediction
 * @typedef {import('./classifier/decisions/answers.js').MultiLabelPrediction} MultiLabelPrediction
 * @typedef {import('./classifier/decisions/answers.js').RegressionPrediction} RegressionPrediction
 * @typedef {import('./classifier/decisions/answers.js').Ranked} Ranked
 * @typedef {import('./classifier/decisions/spans.js').Span} Span
 * @typedef {import('./classifier/decisions/spans.js').TokenLabel} TokenLabel
 * @typedef {import('./classifier/token_classifier.js').TokenPrediction} TokenPrediction
 * @typedef {import('./data/text.js').GivenText} GivenText
 * @typedef {import('./tokenizer/index.js').Encoding} Encoding
 * @typedef {import('./tokenizer/index.js').DetailedEncoding} DetailedEncoding
 */

export { Bundle } from './bundle/bundle.js';
export { Classifier } from './classifier/classifier.js';
export { QueueFull } from './classifier/request_queue.js';
export { TokenClassifier } from './classifier/token_classifier.js';
export { Encoder } from './encoder/encoder.js';
export { CheckFailed, EnvironmentProblem, UserError } from './support/errors.js';
export { Tokenizer } from './tokenizer/index.js';
