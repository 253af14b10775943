/**
 * The model of a bundle, ready to run: tensors in and out by name. Two kinds: the GraphModel, on
 * every backend, and the SavedModel that it was made from, where the bundle carries it and the
 * backend is TensorFlow.
 */
import { openGraphModel } from './graph_model.js';
import { EnvironmentProblem } from './errors.js';
import { hasSavedModel } from './saved_model/checked_copy.js';

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
 * @param {import('./bundle.js').Bundle} bundle
 * @param {import('./backends/index.js').Backend} backend the current one
 * @returns {Promise<{model: Model, notice: string}>} `notice`: why it is not the SavedModel
 * @throws {import('./errors.js').UserError} a damaged file, or a SavedModel that is not to be loaded
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
