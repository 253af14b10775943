/** Our side of the serving rows: a classifier behind HTTP, and calls without HTTP. */
import { Classifier } from '../../node_bridge/index.js';
import { serve } from '../serve.js';
import { listen } from './server.js';

/** @type {Classifier} */
let classifier;

await serve({
  open: async ({ classifier: dir }) => {
    classifier = await Classifier.load(dir, { backend: 'wasm' });
  },
  listen: () => listen((text) => classifier.predict(text)),
  // Seconds for as many calls at the same time as there are texts, and for one call with all of them.
  calls: async ({ texts }) => {
    const start = performance.now();
    await Promise.all(texts.map((/** @type {string} */ text) => classifier.predict(text)));
    return (performance.now() - start) / 1000;
  },
  array: async ({ texts }) => {
    const start = performance.now();
    await classifier.predict(texts);
    return (performance.now() - start) / 1000;
  },
});
