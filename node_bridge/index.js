/** What `import … from 'bert-bridge'` gives. */
export { Bundle } from './bundle.js';
export { Classifier } from './classifier.js';
export { Encoder } from './encoder.js';
export { CheckFailed, EnvironmentProblem, UserError } from './errors.js';
export { Tokenizer } from './tokenizer/index.js';
