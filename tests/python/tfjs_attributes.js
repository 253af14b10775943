/**
 * Prints, as JSON, which attributes of each op TF.js's converter reads, for test_kernels.py.
 */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const converter = dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-converter/package.json'));
const lists = join(converter, 'dist', 'operations', 'op_list');
/** @type {Record<string, string[]>} */
const found = {};
for (const file of readdirSync(lists).filter((name) => name.endsWith('.js'))) {
  const { json } = await import(join(lists, file));
  for (const { tfOpName, attrs = [] } of json ?? []) {
    found[tfOpName] = attrs.flatMap((/** @type {any} */ { tfName, tfDeprecatedName }) =>
      [tfName, tfDeprecatedName].filter(Boolean),
    );
  }
}
process.stdout.write(JSON.stringify(found));
