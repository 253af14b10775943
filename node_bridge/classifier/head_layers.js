/**
 * The layers of a head, with seeded weights. The last layer gives the probabilities. The first layer
 * with weights is linear in its input, so that a scaling can be folded into it.
 */
import { loadPackage } from '../backends/tfjs.js';

export const UNITS = 512;
const LSTM_UNITS = 128;

/**
 * @typedef {import('../encoder/features.js').Pooling} Pooling
 * @typedef {{hidden: number, classes: number, seed: number}} HeadSize
 * @typedef {import('../backends/tfjs.js').Packages} Packages
 * @typedef {import('@tensorflow/tfjs-layers').LayersModel['layers'][0]} Layer
 *
 * @typedef {object} HeadKind
 * @property {string} meaning what the help says of it
 * @property {Pooling} pooling which vectors it takes
 * @property {(size: HeadSize, make: Packages['layers']) => Layer[]} layers creates all layers but the last
 * @property {[number, number][]} linear indices of kernel and bias among the weights of the first
 *   layer with weights, for each of its parts that takes the input
 */

/** @type {Record<string, HeadKind>} by the name that `--head` takes */
export const HEADS = {
  /** float32[batch, hidden] → dense 512 tanh → softmax. */
  dense: {
    meaning: `${UNITS} tanh on [CLS]`,
    pooling: 'position 0 of sequence_output',
    layers: ({ hidden, seed }, { layers }) => [
      layers.dense({
        name: 'hidden',
        inputShape: [hidden],
        units: UNITS,
        activation: 'tanh',
        kernelInitializer: createInitializer(2 * seed),
      }),
    ],
    linear: [[0, 1]],
  },
  /** float32[batch, sequence, hidden], zeros where a text has ended → LSTM 128 both ways → softmax. */
  bilstm: {
    meaning: `LSTM ${LSTM_UNITS} both ways over all positions`,
    pooling: 'sequence_output',
    layers: ({ hidden, seed }, { layers }) => [
      layers.masking({ name: 'masking', inputShape: [null, hidden], maskValue: 0 }),
      layers.bidirectional({
        name: 'hidden',
        mergeMode: 'concat',
        layer: /** @type {import('@tensorflow/tfjs-layers').RNN} */ (
          layers.lstm({
            units: LSTM_UNITS,
            recurrentActivation: 'sigmoid', // as in Keras; TF.js's own default is hardSigmoid
            kernelInitializer: createInitializer(2 * seed),
            // Keras's default, orthogonal, needs a QR decomposition that TF.js warns is slow.
            recurrentInitializer: createInitializer(2 * seed + 2 ** 20),
          })
        ),
      }),
    ],
    linear: [
      [0, 2],
      [3, 5],
    ],
  },
  /** float32[batch, hidden] → softmax. */
  linear: {
    meaning: 'no layer before softmax, on [CLS]',
    pooling: 'position 0 of sequence_output',
    layers: () => [],
    linear: [[0, 1]],
  },
};

/**
 * @param {string} kind a name in HEADS
 * @param {HeadSize} size
 * @returns {import('@tensorflow/tfjs-layers').Sequential} to float32[batch, classes]
 */
export function createHeadModel(kind, size) {
  const { layers, sequential } = loadPackage('layers');
  const before = HEADS[kind].layers(size, loadPackage('layers'));
  const probabilities = layers.dense({
    name: 'probabilities',
    units: size.classes,
    activation: 'softmax',
    kernelInitializer: createInitializer(2 * size.seed + 1),
    ...(before.length === 0 ? { inputShape: [size.hidden] } : {}),
  });
  return sequential({ name: 'classifier', layers: [...before, probabilities] });
}

/** @param {number} seed */
function createInitializer(seed) {
  return loadPackage('layers').initializers.glorotUniform({ seed });
}
