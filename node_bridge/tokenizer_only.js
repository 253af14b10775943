/**
 * The exports of 'bert-bridge/tokenizer': texts to ids without TF.js, whose packages are not loaded.
 *
 * @example
 * import { Bundle, Tokenizer } from 'bert-bridge/tokenizer';
 *
 * const tokenizer = Tokenizer.fromBundle(Bundle.open('artifacts/bundle/albert_tiny'));
 * const { ids, tokens } = tokenizer.encodeWithTokens('这本书很好');
 */

/**
 * @typedef {import('./tokenizer/index.js').Encoding} Encoding
 * @typedef {import('./tokenizer/index.js').DetailedEncoding} DetailedEncoding
 */

export { Bundle } from './bundle/bundle.js';
export { CheckFailed, EnvironmentProblem, UserError } from './support/errors.js';
export { Tokenizer } from './tokenizer/index.js';
