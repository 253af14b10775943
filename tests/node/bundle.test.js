import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { UserError } from '../../node_bridge/support/errors.js';
import { leastContract } from './toy_bundle.js';

const WEIGHTS = Buffer.from('the weights');

/** Of nothing, as every table of test vectors has it. */
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/** @param {Record<string, unknown>} [changes] to the contract */
function bundleDir(changes = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'bundle-'));
  writeFileSync(join(dir, 'shard.bin'), WEIGHTS);
  const sha256 = createHash('sha256').update(WEIGHTS).digest('hex');
  const contract = { ...leastContract({ 'shard.bin': { sha256, size: WEIGHTS.length } }), ...changes };
  writeFileSync(join(dir, 'bundle.json'), JSON.stringify(contract));
  return dir;
}

/** @param {RegExp} message */
function mistake(message) {
  return (/** @type {unknown} */ error) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, message);
    assert.equal(error.message.includes('\n'), false);
    return true;
  };
}

test('a contract of version 1 has no contents: its architecture says whether there is a model', () => {
  const { contents } = Bundle.open(bundleDir({ contract_version: 1, contents: undefined })).contract;
  assert.equal(contents, 'tokenizer');
  assert.throws(() => Bundle.open(bundleDir({ contract_version: 1 })), mistake(/contents/));
  assert.throws(() => Bundle.open(bundleDir({ contents: undefined })), mistake(/contents/));
});

test('a valid bundle returns the bytes of its files', () => {
  const bundle = Bundle.open(bundleDir());
  assert.deepEqual(bundle.read('shard.bin'), WEIGHTS);
  assert.match(bundle.hash, /^[0-9a-f]{64}$/);
});

test('a missing shard is named', () => {
  const dir = bundleDir();
  rmSync(join(dir, 'shard.bin'));
  assert.throws(() => Bundle.open(dir).read('shard.bin'), mistake(/shard\.bin is missing from bundle/));
});

test('a truncated shard is named, with both sizes', () => {
  const dir = bundleDir();
  writeFileSync(join(dir, 'shard.bin'), WEIGHTS.subarray(1));
  assert.throws(() => Bundle.open(dir).read('shard.bin'), mistake(/shard\.bin has 10 bytes, expected 11/));
});

test('one altered bit is detected', () => {
  const dir = bundleDir();
  const altered = Buffer.from(WEIGHTS);
  altered[3] ^= 1;
  writeFileSync(join(dir, 'shard.bin'), altered);
  assert.throws(() => Bundle.open(dir).read('shard.bin'), mistake(/shard\.bin has sha256 .* expected/));
});

test('a large file is checked to its last bit without being in memory', () => {
  const large = Buffer.alloc(2 ** 21 + 3, 'large');
  const sha256 = createHash('sha256').update(large).digest('hex');
  const dir = bundleDir({ files: { large: { sha256, size: large.length }, empty: { sha256: EMPTY, size: 0 } } });
  writeFileSync(join(dir, 'large'), large);
  writeFileSync(join(dir, 'empty'), '');
  Bundle.open(dir).check('large');
  Bundle.open(dir).check('empty');
  assert.equal(Bundle.open(dir).read('empty').length, 0);
  large[large.length - 1] ^= 1;
  writeFileSync(join(dir, 'large'), large);
  assert.throws(() => Bundle.open(dir).check('large'), mistake(/large has sha256 .* expected/));
  rmSync(join(dir, 'large'));
  assert.throws(() => Bundle.open(dir).check('large'), mistake(/large is missing from bundle/));
});

test('a file that is cut off while it is read is refused', () => {
  const dir = bundleDir();
  const file = Bundle.open(dir).file('shard.bin');
  file.readInto(new Uint8Array(4));
  truncateSync(join(dir, 'shard.bin'), 6);
  assert.throws(
    () => file.readInto(new Uint8Array(7)),
    mistake(/has been cut off while it was read, expected 5 more bytes; the bundle is damaged/),
  );
});

test('a directory without a contract is not a bundle', () => {
  const dir = mkdtempSync(join(tmpdir(), 'bundle-'));
  assert.throws(() => Bundle.open(dir), mistake(/is not a bundle: it has no bundle\.json/));
  assert.throws(() => Bundle.open(join(dir, 'nowhere')), mistake(/is not a bundle/));
});

test('a contract of another version or kind is refused', () => {
  assert.throws(() => Bundle.open(bundleDir({ contract_version: 3 })), mistake(/contract version 3, .* reads 1 and 2/));
  assert.throws(() => Bundle.open(bundleDir({ format: 'zip' })), mistake(/got format "zip"/));
});

test('a file that the contract does not list is refused', () => {
  assert.throws(() => Bundle.open(bundleDir()).read('../secret'), mistake(/its contract does not list it/));
});
