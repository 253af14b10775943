import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { assertWritable, writeDirectory } from '../../node_bridge/directory.js';

const DIR = mkdtempSync(join(tmpdir(), 'directory-'));
after(() => rmSync(DIR, { recursive: true }));

test('a failure in the middle leaves the earlier directory as it was', () => {
  const dir = join(DIR, 'a');
  writeDirectory(dir, { 'mark.json': 'one', x: '1' }, 'mark.json');
  assert.throws(() => writeDirectory(dir, { 'mark.json': 'two', 'no/such/place': '' }, 'mark.json'), /ENOENT/);
  assert.equal(readFileSync(join(dir, 'mark.json'), 'utf8'), 'one');
  assert.deepEqual(readdirSync(DIR), ['a']);
});

test('a failure before there was one leaves nothing', () => {
  assert.throws(() => writeDirectory(join(DIR, 'b'), { 'no/such/place': '' }, 'mark.json'), /ENOENT/);
  assert.deepEqual(readdirSync(DIR), ['a']);
});

test('asking first leaves nothing either, and refuses what writing would', () => {
  assertWritable(join(DIR, 'c'), 'mark.json');
  assertWritable(join(DIR, 'a'), 'mark.json');
  assert.deepEqual(readdirSync(DIR), ['a']);
  assert.throws(() => assertWritable(join(DIR, 'a'), 'other.json'), /holds other things/);
  writeFileSync(join(DIR, 'file'), '');
  assert.throws(() => assertWritable(join(DIR, 'file'), 'mark.json'), /is a file/);
});
