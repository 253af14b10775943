/**
 * The native backend where it is not there, or no longer fits: in a copy of the project with a
 * made-up `.nox/native`, so that no test needs a real one but for its last.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { machine, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import util from 'node:util';

import { installNodeShims } from '../../node_bridge/backends/tfjs_node.js';
import { native, root } from './native_here.js';

const project = mkdtempSync(join(tmpdir(), 'project-'));
const home = join(project, '.nox', 'native');
const prebuilt = join(project, 'node_modules', '@tensorflow', 'tfjs-node');
const bundle = join(root, 'artifacts', 'bundle', 'albert_tiny');
after(() => rmSync(project, { recursive: true }));

beforeEach(() => {
  rmSync(project, { recursive: true });
  cpSync(join(root, 'node_bridge'), join(project, 'node_bridge'), { recursive: true });
  cpSync(join(root, 'schemas'), join(project, 'schemas'), { recursive: true });
  mkdirSync(join(project, 'export', 'source'), { recursive: true });
  cpSync(join(root, 'export', 'source', 'allowed_ops.txt'), join(project, 'export', 'source', 'allowed_ops.txt'));
  writeFileSync(join(project, 'package.json'), '{"type": "module"}');
  for (const folder of ['', '@tensorflow']) {
    const from = join(root, 'node_modules', folder);
    const to = join(project, 'node_modules', folder);
    mkdirSync(to, { recursive: true });
    const names = readdirSync(from).filter((name) => name !== '@tensorflow' && name !== 'tfjs-node');
    for (const name of names) symlinkSync(join(from, name), join(to, name));
  }
});

/** Verifies the embedded bundle in the copy. @param {string} backend @param {string} [cwd] */
function verify(backend, cwd = root) {
  const script = join(project, 'node_bridge', 'verify.js');
  const environment = { ...process.env, TF_CPP_MIN_LOG_LEVEL: undefined };
  const args = [script, '--bundle', bundle, '--backend', backend];
  return spawnSync(process.execPath, args, { cwd, encoding: 'utf8', env: environment });
}

/**
 * A package that is no tfjs-node, and says so where its binding is loaded.
 *
 * @param {string} folder of packages
 */
function plant(folder) {
  const directory = join(folder, '@tensorflow', 'tfjs-node');
  mkdirSync(join(directory, 'lib', 'napi-v8'), { recursive: true });
  writeFileSync(join(directory, 'package.json'), '{"name": "@tensorflow/tfjs-node", "version": "4.22.0"}');
  writeFileSync(join(directory, 'lib', 'napi-v8', 'tfjs_binding.node'), 'PLANTED');
  return directory;
}

/** A stamp that fits this machine, except for the changes. @param {object} [changes] */
function stamp(changes = {}) {
  mkdirSync(home, { recursive: true });
  const library = join(home, 'libtensorflow_cc.so.2');
  writeFileSync(library, 'no library');
  const fits = { tensorflow: '2.21.0', library, library_size: 10, system: `${process.platform}-${machine()}`, node_api: 8 };
  writeFileSync(join(home, 'built.json'), JSON.stringify({ ...fits, ...changes }));
}

/** Asked for, it ends with 3 and a line; on auto the line is a warning. @param {RegExp} said */
function assertRefused(said) {
  const asked = verify('native');
  assert.equal(asked.status, 3, asked.stderr);
  assert.match(asked.stderr, /^error: [^\n]+\n$/);
  assert.match(asked.stderr, said);
  const auto = verify('auto');
  assert.equal(auto.status, 0, auto.stderr);
  assert.match(auto.stdout, /^albert_tiny on wasm$/m);
  assert.match(auto.stderr, /^warning: [^\n]+; backend wasm is taken\n$/);
  assert.match(auto.stderr, said);
}

test('if native was never built, it says how to build it; auto takes wasm and names the faster backend', () => {
  const asked = verify('native');
  assert.equal(asked.status, 3);
  assert.equal(asked.stderr, 'error: the native backend is not built here; `nox -s native` builds it\n');
  const auto = verify('auto');
  assert.equal(auto.status, 0, auto.stderr);
  assert.equal(auto.stderr, 'backend wasm; `nox -s native` builds a faster one\n');
});

test('a stamp that is not JSON is refused', () => {
  stamp();
  writeFileSync(join(home, 'built.json'), '{');
  assertRefused(/built\.json is damaged; `nox -s native` builds it anew/);
});

test('a library built for another machine or a newer Node is refused', () => {
  stamp({ system: 'linux-riscv64' });
  assertRefused(/was built for another Node \(linux-riscv64, Node-API 8\), this one is .*`nox -s native` builds it anew/);
  stamp({ node_api: 99 });
  assertRefused(/was built for another Node .*Node-API 99/);
});

test('a library whose Python environment was deleted is refused', () => {
  stamp({ library: '/nowhere/tensorflow/libtensorflow_cc.so.2' });
  assertRefused(/against TensorFlow 2\.21\.0, but \/nowhere\/tensorflow\/libtensorflow_cc\.so\.2 is gone; `nox -s native`/);
});

test('a library built against another TensorFlow is refused', () => {
  stamp({ tensorflow: '2.19.0', library_size: 11 });
  assertRefused(/was built against TensorFlow 2\.19\.0, but .* is another one now; `nox -s native` builds it anew/);
});

test('a library that does not load is a warning with its cause', () => {
  stamp();
  writeFileSync(join(home, 'quiet.node'), 'no library');
  assertRefused(/does not load: .*quiet\.node: .+; `nox -s native` builds it anew/);
});

test('a tfjs-node from npm without its library, as after a failed download, is a warning', () => {
  mkdirSync(prebuilt, { recursive: true });
  writeFileSync(join(prebuilt, 'package.json'), '{"name": "@tensorflow/tfjs-node", "version": "4.22.0"}');
  assertRefused(/tfjs-node does not load: Cannot find module .*tfjs_binding\.node.*; `nox -s native` builds it/);
});

test('a tfjs-node above the package or above the project is ignored', () => {
  const outer = mkdtempSync(join(tmpdir(), 'outer-'));
  try {
    // The copy in a directory whose own packages somebody else has put there.
    const inner = join(outer, 'a', 'b');
    mkdirSync(inner, { recursive: true });
    plant(join(outer, 'node_modules'));
    plant(join(outer, 'a', 'node_modules'));
    writeFileSync(join(inner, 'package.json'), '{}');
    const moved = join(inner, 'node_modules', 'bert-bridge');
    cpSync(project, moved, { recursive: true, verbatimSymlinks: true });
    const script = join(moved, 'node_bridge', 'verify.js');
    const run = (/** @type {string} */ cwd) =>
      spawnSync(process.execPath, [script, '--bundle', bundle, '--backend', 'native'], { cwd, encoding: 'utf8' });
    for (const cwd of [inner, '/']) assert.match(run(cwd).stderr, /^error: the native backend is not built here/);
    // In the project that the process was started in it is looked for.
    writeFileSync(join(outer, 'package.json'), '{}');
    assert.match(run(outer).stderr, /outer-[^/]*\/node_modules\/@tensorflow\/tfjs-node does not load/);
    // And beside the package itself, wherever the process was started.
    plant(join(inner, 'node_modules'));
    assert.match(run('/').stderr, /a\/b\/node_modules\/@tensorflow\/tfjs-node does not load/);
  } finally {
    rmSync(outer, { recursive: true });
  }
});

const posix = { skip: process.getuid === undefined };

test('a file that everybody may write is not loaded', posix, () => {
  const directory = plant(join(project, 'node_modules'));
  const folders = [
    project,
    join(project, 'node_modules'),
    directory,
    join(directory, 'lib', 'napi-v8'),
    join(directory, 'lib', 'napi-v8', 'tfjs_binding.node'),
  ];
  for (const path of folders) {
    chmodSync(path, 0o777);
    assertRefused(/tfjs-node does not load: everybody may write [^ ]+; take that away with `chmod o-w`/);
    chmodSync(path, 0o755);
  }
  assertRefused(/tfjs-node does not load: (?!everybody)/);
});

test('a file of another user is not loaded', {
  skip: process.getuid?.() !== 0 && 'NOT TESTED HERE: only root can give a file away',
}, () => {
  const directory = plant(join(project, 'node_modules'));
  for (const path of [
    join(project, 'node_modules', '@tensorflow'),
    directory,
    join(directory, 'lib', 'napi-v8', 'tfjs_binding.node'),
  ]) {
    chownSync(path, 12345, 12345);
    assertRefused(/tfjs-node does not load: [^ ]+ belongs to another user \(12345\), expected 0/);
    chownSync(path, 0, 0);
  }
});

test('functions that newer versions of Node lack are restored', () => {
  const gone = /** @type {Record<string, any>} */ (util);
  for (const name of ['isNullOrUndefined', 'isArray']) delete gone[name];
  installNodeShims();
  assert.deepEqual([null, undefined, 0, ''].map(gone.isNullOrUndefined), [true, true, false, false]);
  assert.deepEqual([[], {}, 'a'].map(gone.isArray), [true, false, false]);
});

test('a library built by another copy of the project runs here too, without a message', native, () => {
  mkdirSync(join(project, '.nox'));
  symlinkSync(join(root, '.nox', 'native'), home);
  const { status, stdout, stderr } = verify('native');
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^albert_tiny on native$/m);
  assert.equal(stderr, '');
});

test('a prebuilt tfjs-node in the project is preferred', native, () => {
  symlinkSync(join(root, '.nox', 'native', 'node_modules', '@tensorflow', 'tfjs-node'), prebuilt);
  const script = join(project, 'node_bridge', 'backends', 'check_native.js');
  const { stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8' });
  assert.equal(JSON.parse(stdout).origin, 'prebuilt', stderr);
});
