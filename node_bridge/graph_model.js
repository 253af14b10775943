/** A bundle's GraphModel, on whatever backend is TF.js's current one. */
import { join } from 'node:path';

import { asUserError, parseModel } from './model_json.js';
import { load, tf } from './tfjs.js';
import { readWeights } from './weights.js';

/**
 * @param {import('./bundle.js').Bundle} bundle
 * @param {import('./backends/tensors.js').MakeTensor} makeTensor of the current backend
 * @returns {Promise<import('./model.js').Model>}
 * @throws {import('./errors.js').UserError} a damaged file, or a graph that TF.js does not take
 */
export async function openGraphModel(bundle, makeTensor) {
  const path = join(bundle.dir, 'model.json');
  const { weightsManifest, ...artifacts } = parseModel(bundle.read('model.json'), path);
  // TF.js itself would hold the weights three times: as files, as decoded values and as tensors.
  const decodeWeights = () => readWeights(bundle, weightsManifest, makeTensor);
  const model = await asUserError(path, () => load('converter').loadGraphModel({ load: async () => artifacts }, {}, { ...tf.io, decodeWeights }));
  return {
    run(feeds, names) {
      const outputs = asUserError(path, () => model.execute(feeds, names));
      return Array.isArray(outputs) ? outputs : [outputs];
    },
    kind: 'graph_model',
    dispose: () => model.dispose(),
  };
}
