/** The defaults of training, of train.js and of the functions that it calls. */
export const DEFAULTS = /** @type {const} */ ({
  head: 'dense',
  epochs: 5,
  batchSize: 32,
  /** Of Adam: on vectors of untrained albert_tiny and 5,000 reviews 0.001 overfits by epoch 5. */
  learningRate: 3e-4,
  schedule: 'constant',
  classWeights: 'equal',
  bestBy: 'accuracy',
  seed: 1,
  maxLength: 128,
});
