import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { UserError } from '../../node_bridge/support/errors.js';
import { makeDirectory } from '../../node_bridge/support/files.js';
import { assertWritable, writeDirectory } from '../../node_bridge/support/output_directory.js';

const DIR = mkdtempSync(join(tmpdir(), 'directory-'));
after(() => rmSync(DIR, { recursive: true }));

/** Directories whose first file lists them. @type {import('../../node_bridge/support/output_directory.js').DirectoryKind} */
const KIND = {
  marker: 'mark.json',
  filesOf: (dir) => {
    const names = readFileSync(join(dir, 'mark.json'), 'utf8').split(' ');
    if (names[0] === 'broken') throw new UserError('its list is broken');
    return ['mark.json', ...names];
  },
};
const OTHER = { ...KIND, marker: 'other.json' };
/** No process has this number: Linux gives none beyond 2²². */
const NOBODY = 2 ** 30;

test('a failure in the middle leaves the earlier directory unchanged', () => {
  const dir = join(DIR, 'a');
  writeDirectory(dir, { 'mark.json': 'x', x: '1' }, KIND);
  assert.throws(() => writeDirectory(dir, { 'mark.json': 'y', 'no/such/place': '' }, KIND), /ENOENT/);
  assert.equal(readFileSync(join(dir, 'mark.json'), 'utf8'), 'x');
  assert.deepEqual(readdirSync(DIR), ['a']);
});

test('a failure without an earlier directory leaves nothing', () => {
  assert.throws(() => writeDirectory(join(DIR, 'b'), { 'no/such/place': '' }, KIND), /ENOENT/);
  assert.deepEqual(readdirSync(DIR), ['a']);
});

test('assertWritable leaves nothing and refuses what writing would refuse', () => {
  assertWritable(join(DIR, 'c'), KIND);
  assertWritable(join(DIR, 'a'), KIND);
  assert.deepEqual(readdirSync(DIR), ['a']);
  assert.throws(() => assertWritable(join(DIR, 'a'), OTHER), /holds other things/);
  writeFileSync(join(DIR, 'file'), '');
  assert.throws(() => assertWritable(join(DIR, 'file'), KIND), /is a file/);
});

/** @param {string} name @param {Record<string, string>} files */
function made(name, files) {
  const dir = join(DIR, name);
  mkdirSync(dir);
  for (const [file, content] of Object.entries(files)) writeFileSync(join(dir, file), content);
  return dir;
}

/** @param {RegExp} said */
function mistake(said) {
  return (/** @type {unknown} */ error) => {
    assert.ok(error instanceof UserError, String(error));
    assert.match(error.message, said);
    return true;
  };
}

test('a file that is not listed is refused by name, and nothing is changed', () => {
  const dir = made('foreign', { 'mark.json': 'x', x: '1', 'thesis.docx': 'mine' });
  assert.throws(() => assertWritable(dir, KIND), mistake(/holds thesis\.docx, which its mark\.json does not list/));
  assert.throws(() => writeDirectory(dir, { 'mark.json': 'x' }, KIND), mistake(/holds thesis\.docx/));
  assert.deepEqual(readdirSync(dir).sort(), ['mark.json', 'thesis.docx', 'x']);
  rmSync(join(dir, 'thesis.docx'));
  rmSync(join(dir, 'x'));
  mkdirSync(join(dir, 'x'));
  writeFileSync(join(dir, 'x', 'thesis.docx'), 'mine');
  assert.throws(() => writeDirectory(dir, { 'mark.json': 'x' }, KIND), mistake(/holds x, which/));
  assert.equal(readFileSync(join(dir, 'x', 'thesis.docx'), 'utf8'), 'mine');
});

test('an unreadable list is refused', () => {
  const dir = made('unreadable', { 'mark.json': 'broken', x: '1' });
  assert.throws(
    () => writeDirectory(dir, { 'mark.json': 'x' }, KIND),
    mistake(/mark\.json that cannot be read, .* \(its list is broken\); move it away/),
  );
  assert.deepEqual(readdirSync(dir).sort(), ['mark.json', 'x']);
});

test('a link to a directory stays a link, and the target of a listed link stays', () => {
  const real = made('real', { 'mark.json': 'x', x: '1' });
  symlinkSync(real, join(DIR, 'link'));
  writeFileSync(join(DIR, 'precious'), 'mine');
  rmSync(join(real, 'x'));
  symlinkSync(join(DIR, 'precious'), join(real, 'x'));
  writeDirectory(join(DIR, 'link'), { 'mark.json': 'y', y: '2' }, KIND);
  assert.deepEqual(readdirSync(real).sort(), ['mark.json', 'y']);
  assert.equal(readFileSync(join(DIR, 'link', 'y'), 'utf8'), '2');
  assert.equal(readFileSync(join(DIR, 'precious'), 'utf8'), 'mine');
});

test('after a kill between the two renames the next run restores the old directory', () => {
  // The second rename ends the process, as a power cut would.
  const program = `
    import fs from 'node:fs';
    import { syncBuiltinESMExports } from 'node:module';
    const rename = fs.renameSync;
    let count = 0;
    fs.renameSync = (from, to) => ((count += 1) === 2 ? process.kill(process.pid, 'SIGKILL') : rename(from, to));
    syncBuiltinESMExports();
    const { writeDirectory } = await import(${JSON.stringify(new URL('../../node_bridge/support/output_directory.js', import.meta.url).href)});
    writeDirectory(process.argv[1], { 'mark.json': 'y', y: '2' }, { marker: 'mark.json', filesOf: () => ['mark.json', 'x'] });`;
  const dir = made('killed', { 'mark.json': 'x', x: '1' });
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', program, dir]);
  assert.equal(signal, 'SIGKILL');
  assert.equal(existsSync(dir), false);
  assertWritable(dir, KIND);
  assert.equal(readFileSync(join(dir, 'x'), 'utf8'), '1');
  writeDirectory(dir, { 'mark.json': 'y', y: '2' }, KIND);
  assert.deepEqual(readdirSync(dir).sort(), ['mark.json', 'y']);
  // An unfinished directory is removed only after a day, since another machine may be writing it.
  const [half] = readdirSync(DIR).filter((name) => name.startsWith('.killed.'));
  assert.match(half, /^\.killed\.\d+\.partial$/);
  const yesterday = Date.now() / 1000 - 25 * 3600;
  utimesSync(join(DIR, half), yesterday, yesterday);
  assertWritable(dir, KIND);
  assert.deepEqual(
    readdirSync(DIR).filter((name) => name.startsWith('.')),
    [],
  );
});

test('an old directory beside a new one is removed, but not that of a running process', () => {
  const dir = made('twice', { 'mark.json': 'x', x: 'new' });
  for (const [pid, x] of [
    [NOBODY, 'old'],
    [process.ppid, 'busy'],
  ]) {
    renameSync(made('other', { 'mark.json': 'x', x: String(x) }), join(DIR, `.twice.${pid}.old`));
  }
  assertWritable(dir, KIND);
  assert.equal(readFileSync(join(dir, 'x'), 'utf8'), 'new');
  assert.deepEqual(
    readdirSync(DIR).filter((name) => name.startsWith('.twice')),
    [`.twice.${process.ppid}.old`],
  );
});

test('directories are made with those above them; what cannot be made ends with an error', () => {
  const deep = join(DIR, 'above', 'b', 'c');
  makeDirectory(deep);
  makeDirectory(deep);
  assert.deepEqual(readdirSync(join(DIR, 'above', 'b')), ['c']);
  symlinkSync(join(DIR, 'above'), join(DIR, 'link-to-a'), 'junction');
  makeDirectory(join(DIR, 'link-to-a', 'd'));
  assert.deepEqual(readdirSync(join(DIR, 'above')).sort(), ['b', 'd']);
  writeFileSync(join(DIR, 'plain'), '');
  assert.throws(() => makeDirectory(join(DIR, 'plain', 'x', 'y')), { code: /^(EEXIST|ENOTDIR|ENOENT)$/ });
  assert.throws(() => makeDirectory(join(DIR, 'plain')), { code: 'EEXIST' });
  // With `recursive` this never ended.
  if (existsSync('/proc/self')) assert.throws(() => makeDirectory('/proc/nowhere/x'), { code: 'ENOENT' });
});
