/**
 * Runs 1 to 7 texts through a bundle with a fixed shape and through one with free axes and the same
 * weights; prints the largest difference. `node fixed_against_free.js FIXED FREE`
 */
import { Encoder } from '../../node_bridge/encoder/encoder.js';

const [fixed, free] = await Promise.all(process.argv.slice(2).map((dir) => Encoder.load(dir, { backend: 'cpu' })));
const texts = ['你好', '这本书很好', '', '好', '书，很好', '你', '很好很好很好'];
let worst = 0;
for (let count = 1; count <= texts.length; count += 1) {
  const some = texts.slice(0, count);
  const rows = some.map((_, i) => ({ ids: Int32Array.of(2, 5 + (i % 7), 3), typeIds: new Int32Array(3) }));
  for (const [a, b] of [
    [await fixed.encode(some), await free.encode(some)],
    [await fixed.sequences(rows), await free.sequences(rows)],
  ]) {
    a.forEach((row, i) => {
      if (row.length !== b[i].length) throw new Error(`got ${row.length} values, expected ${b[i].length}`);
      row.forEach((value, j) => (worst = Math.max(worst, Math.abs(value - b[i][j]))));
    });
  }
}
console.log(worst);
