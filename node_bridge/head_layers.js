/** What stands on the encoder, as TF.js layers with seeded weights. */
import { load } from './tfjs.js';

const UNITS = 512;

/**
 * float32[batch, hidden] (position 0 of `sequence_output`) → dense 512 tanh → softmax:
 * float32[batch, classes].
 *
 * @param {{hidden: number, classes: number, seed: number}} options
 * @returns {import('@tensorflow/tfjs-layers').Sequential}
 */
export function denseHead({ hidden, classes, seed }) {
  const { initializers, layers, sequential } = load('layers');
  const { dense } = layers;
  const { glorotUniform } = initializers;
  return sequential({
    name: 'classifier',
    layers: [
      dense({
        name: 'hidden',
        inputShape: [hidden],
        units: UNITS,
        activation: 'tanh',
        kernelInitializer: glorotUniform({ seed: 2 * seed }),
      }),
      dense({
        name: 'probabilities',
        units: classes,
        activation: 'softmax',
        kernelInitializer: glorotUniform({ seed: 2 * seed + 1 }),
      }),
    ],
  });
}
