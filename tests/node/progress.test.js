import assert from 'node:assert/strict';
import { test } from 'node:test';

import { startProgress } from '../../node_bridge/support/progress.js';

test('in a log there is a line every few seconds and one at the end', () => {
  let clock = 0;
  let written = '';
  const stream = /** @type {any} */ ({ isTTY: false, write: (/** @type {string} */ text) => (written += text) });
  const { advance, done } = startProgress('encoding', 100, { stream, now: () => clock });
  for (let i = 0; i < 100; i += 1) {
    clock += 100;
    advance(1);
  }
  done('two cores');
  assert.equal(
    written,
    'encoding: 30 % (30/100), 7 s left\nencoding: 60 % (60/100), 4 s left\n' +
      'encoding: 90 % (90/100), 1 s left\nencoding: 100 in 10.0 s, two cores\n',
  );
});
