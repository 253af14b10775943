/** Runs evaluate.js on toy bundles and reads what it writes. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** Where the toy bundles of a test file are, by their names, and its data. */
export const dir = mkdtempSync(join(tmpdir(), 'evaluate-toys-'));
after(() => rmSync(dir, { recursive: true }));

/** @param {string} name @param {string | object[]} content objects become JSON lines */
export function file(name, content) {
  const path = join(dir, name);
  writeFileSync(path, typeof content === 'string' ? content : content.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}

/** @param {string} bundle @param {string} data @param {string[]} more */
export function evaluate(bundle, data, ...more) {
  const args = ['--model', join(dir, bundle), '--data', data, '--backend', 'cpu', '--workers', '1', ...more];
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'node_bridge', 'evaluate.js'), ...args], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

/** The document, and what is in its directory. @param {string} bundle @param {string} data @param {string[]} more */
export function evaluateInto(bundle, data, ...more) {
  const out = join(dir, `${bundle}-evaluation`);
  const { status, stdout, stderr } = evaluate(bundle, data, '--json', '--out', out, ...more);
  assert.equal(status, 0, stderr);
  assert.deepEqual(readdirSync(out).sort(), ['errors.jsonl', 'evaluation.html', 'evaluation.json']);
  assert.equal(readFileSync(join(out, 'evaluation.json'), 'utf8'), stdout);
  const lines = readFileSync(join(out, 'errors.jsonl'), 'utf8').trimEnd().split('\n');
  const page = readFileSync(join(out, 'evaluation.html'), 'utf8');
  assert.doesNotMatch(page, /NaN|undefined|\[object|Infinity|https?:/);
  return { document: JSON.parse(stdout), page, errors: lines.map((line) => (line === '' ? undefined : JSON.parse(line))) };
}

/** @param {unknown} got @param {unknown} expected numbers may differ by what float32 rounds */
export function assertNear(got, expected) {
  if (typeof expected === 'number' && typeof got === 'number') {
    assert(Math.abs(got - expected) < 1e-6, `got ${got}, expected ${expected}`);
  } else if (typeof expected === 'object' && expected !== null) {
    assert.deepEqual(Object.keys(/** @type {object} */ (got)).sort(), Object.keys(expected).sort());
    for (const [key, value] of Object.entries(expected)) assertNear(/** @type {any} */ (got)[key], value);
  } else assert.deepEqual(got, expected);
}

/** The figures of a document without what names its data and its texts. @param {any} document */
export function withoutTexts({ data: _, most_confident_errors: __, wrong_texts: ___, ...figures }) {
  return figures;
}

/** Refuses data with a message, and writes nothing. @param {string} bundle @param {string | object[]} content @param {RegExp} message @param {string[]} more */
export function assertRefused(bundle, content, message, ...more) {
  const out = join(dir, 'refused');
  const { status, stdout, stderr } = evaluate(bundle, file('data', content), '--out', out, ...more);
  assert.deepEqual([status, stdout, existsSync(out)], [2, '', false], stderr);
  assert.match(stderr.trimEnd(), message);
}

/** Text from outside is escaped on a page. @param {string} page */
export function assertEscaped(page) {
  assert.doesNotMatch(page, /<script|\u202e|\x1b/);
  assert.match(page, /&lt;script&gt;/);
}

/** A label that a contract may have, and a text that a file may have. */
export const HOSTILE_LABEL = '</td><script>x</script>';
export const HOSTILE_TEXT = `${HOSTILE_LABEL}\u202e\x1b[31m`;
