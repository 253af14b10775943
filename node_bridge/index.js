/**
 * What `import … from 'bert-bridge'` gives.
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
 * @typedef {import('./prediction.js').Broken} Broken
 * @typedef {import('./prediction.js').Prediction} Prediction
 * @typedef {import('./prediction.js').Ranked} Ranked
 * @typedef {import('./text.js').GivenText} GivenText
 * @typedef {import('./tokenizer/index.js').Encoding} Encoding
 * @typedef {import('./tokenizer/index.js').DetailedEncoding} DetailedEncoding
 */

export { Bundle } from './bundle.js';
export { Classifier } from './classifier.js';
export { Encoder } from './encoder.js';
export { CheckFailed, EnvironmentProblem, UserError } from './errors.js';
export { Tokenizer } from './tokenizer/index.js';
