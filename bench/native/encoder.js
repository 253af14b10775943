/** A side that runs a bundle on the native backend, as node_bridge does. */
import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { Encoder } from '../../node_bridge/encoder/encoder.js';
import { serve, measurePass } from '../serve.js';

/** @type {Encoder} */
let encoder;

/** Texts whose ids depend on their position, as in encoder.py. @param {number} batch @param {number} sequence */
function createEncodings(batch, sequence) {
  return Array.from({ length: batch }, (_, row) => ({
    ids: Int32Array.from({ length: sequence }, (_, i) => 5 + (((row * sequence + i) * 7919) % 4000)),
    typeIds: new Int32Array(sequence),
  }));
}

await serve({
  open: async ({ directory }) => {
    encoder = await Encoder.load(Bundle.open(directory), { backend: 'native' });
    if (encoder.notice !== '') throw new Error(encoder.notice);
  },
  values: async ({ batch, sequence }) => {
    const { sequence_output: output } = await encoder.run(createEncodings(batch, sequence));
    return [...output.data];
  },
  time: ({ batch, sequence, at_least }) => {
    const texts = createEncodings(batch, sequence);
    return measurePass(() => encoder.run(texts), at_least);
  },
});
