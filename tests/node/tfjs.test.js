import * as imported from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { tf } from '../../node_bridge/backends/tfjs.js';
import { root } from './native_here.js';

test('a program that imports TF.js gets the same instance', () => {
  assert.equal(tf.engine(), imported.engine());
});

test('only backends/tfjs.js loads TF.js packages, since importing them is slow', () => {
  const folder = join(root, 'node_bridge');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.js'));
  assert.ok(files.includes('backends/tfjs.js') && files.length > 30, String(files));
  const slow = files.filter((name) =>
    /^(import|export) (.* from )?'@tensorflow\//m.test(readFileSync(join(folder, name), 'utf8')),
  );
  assert.deepEqual(slow, []);
});
