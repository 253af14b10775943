/**
 * The model of a bundle, ready to run: tensors in and out by name. Two kinds: the GraphModel, on
 * every backend, and the SavedModel that it was made from, where the bundle carries it and the
 * backend is TensorFlow.
 */
import { join } from 'node:path';

import { load, tf } from '../backends/tfjs.js';
import { hasSavedModel } from '../bundle/saved_model/checked_copy.js';
import { asUserError, parseModel, readWeights } from '../bundle/tfjs_model.js';
import { EnvironmentProblem } from '../support/errors.js';

/**
 * @typedef {import('@tensorflow/tfjs-core').Tensor} Tensor
 *
 * @typedef {object} Model
 * @property {(feeds: Record<string, Tensor>, names: string[]) => Tensor[]} run outputs in the order
 *   of `names`; feeds are int32 by the names in the contract, of its shapes
 * @property {'graph_model' | 'saved_model'} kind of a GraphModel any node may be asked for by name
 * @property {() => void} dispose frees the weights
 */

/**
 * @param {import('../bundle/bundle.js').Bundle} bundle
 * @param {import('../backends/index.js').Backend} backend the current one
 * @returns {Promise<{model: Model, notice: string}>} `notice`: why it is not the SavedModel
 * @throws {import('../support/errors.js').UserError} a damaged file, or a SavedModel that is not to be loaded
 */
export async function openModel(bundle, { openSavedModel, makeTensor }) {
  if (openSavedModel === undefined) return { model: await openGraphModel(bundle, makeTensor), notice: '' };
  if (!hasSavedModel(bundle)) {
    const notice = 'the bundle was not exported --with-saved-model, which runs faster there';
    return { model: await openGraphModel(bundle, makeTensor), notice };
  }
  try {
    return { model: await openSavedModel(bundle), notice: '' };
  } catch (error) {
    if (!(error instanceof EnvironmentProblem)) throw error;
    const notice = `warning: ${error.message}; its GraphModel is run instead, which is slower`;
    return { model: await openGraphModel(bundle, makeTensor), notice };
  }
}

// A bundle's GraphModel, on whatever backend is TF.js's current one.

/**
 * @param {import('../bundle/bundle.js').Bundle} bundle
 * @param {import('../backends/tfjs.js').MakeTensor} makeTensor of the current backend
 * @returns {Promise<Model>}
 * @throws {import('../support/errors.js').UserError} a damaged file, or a graph that TF.js does not take
 */
export async function openGraphModel(bundle, makeTensor) {
  const path = join(bundle.dir, 'model.json');
  const { weightsManifest, ...artifacts } = parseModel(bundle.read('model.json'), path);
  // TF.js itself would hold the weights three times: as files, as decoded values and as tensors.
  const decodeWeights = () => readWeights(bundle, weightsManifest, makeTensor);
  const model = await asUserError(path, () =>
    load('converter').loadGraphModel({ load: async () => artifacts }, {}, { ...tf.io, decodeWeights }),
  );
  return {
    run(feeds, names) {
      const outputs = asUserError(path, () => model.execute(feeds, names));
      return Array.isArray(outputs) ? outputs : [outputs];
    },
    kind: 'graph_model',
    dispose: () => model.dispose(),
  };
}
