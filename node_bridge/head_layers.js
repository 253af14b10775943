/** What stands on the encoder, as TF.js layers with seeded weights. */
import * as tfl from '@tensorflow/tfjs-layers';

const UNITS = 512;

/**
 * float32[batch, hidden] (position 0 of `sequence_output`) → dense 512 tanh → softmax:
 * float32[batch, classes].
 *
 * @param {{hidden: number, classes: number, seed: number}} options
 * @returns {tfl.Sequential}
 */
export function denseHead({ hidden, classes, seed }) {
  const { dense } = tfl.layers;
  const { glorotUniform } = tfl.initializers;
  return tfl.sequential({
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
