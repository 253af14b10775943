/** A bundle's golden cases: what passes, what does not, and that nothing compared is no pass. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { readGoldenCases, verifyBundle, verifyVectors } from '../../node_bridge/bundle/golden_cases.js';
import { compareTensors } from '../../node_bridge/support/closeness.js';
import { writeSafetensors } from '../../node_bridge/support/safetensors.js';

const BUDGET = { atol: 0.01, rtol: 0.001 };
const of = (/** @type {number[]} */ values) => ({ shape: [values.length], data: Float32Array.from(values) });

test('values within atol + rtol·|expected| are close, and the largest difference is reported', () => {
  assert.deepEqual(compareTensors(of([1, 2]), of([1, 2]), BUDGET), { close: true, maxAbs: 0, problem: '' });
  assert(compareTensors(of([1000.9]), of([1000]), BUDGET).close);
  assert(!compareTensors(of([0.9]), of([0]), BUDGET).close);
  assert.equal(compareTensors(of([1.5, 3]), of([1, 2]), BUDGET).maxAbs, 1);
});

test('the relative tolerance depends only on the expected value', () => {
  const relative = { atol: 0, rtol: 2 ** -10 };
  assert(compareTensors(of([1025]), of([1024]), relative).close);
  // 1/1024 of 1024 is 1, 1/1024 of 1023 is less.
  assert(!compareTensors(of([1024]), of([1023]), relative).close);
});

test('a failure names the value that is furthest over its budget', () => {
  const got = { shape: [2, 2], data: Float32Array.of(1000.9, 0, 0, 0.5) };
  const expected = { shape: [2, 2], data: Float32Array.of(1000, 0, 0, 0.25) };
  assert.match(compareTensors(got, expected, BUDGET).problem, /got 0\.5 at \[1,1\], expected 0\.25 within 0\.01/);
});

for (const [name, got, expected, said] of /** @type {const} */ ([
  ['another shape', of([1, 2]), of([1]), /got shape \[2\], expected \[1\]/],
  ['no values', of([]), of([]), /nothing to compare/],
  ['NaN', of([NaN]), of([1]), /got NaN at \[0\]/],
  ['NaN on both sides', of([NaN]), of([NaN]), /got NaN/],
  ['infinity on both sides', of([Infinity]), of([Infinity]), /got Infinity/],
])) {
  test(`${name} is never close`, () => {
    const { close, maxAbs, problem } = compareTensors(got, expected, BUDGET);
    assert(!close);
    assert.equal(maxAbs, null);
    assert.match(problem, said);
  });
}

/** A bundle with one text of two ids and one output, with a change. @param {any} change */
function toy(change = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'golden-'));
  const file = join(directory, 'golden.safetensors');
  const ids = { dtype: /** @type {const} */ ('I32'), shape: [1, 2], data: Int32Array.of(5, 6) };
  const mask = { ...ids, data: Int32Array.of(1, 1) };
  const output = { dtype: /** @type {const} */ ('F32'), shape: [1, 2], data: Float32Array.of(0.5, 0.25) };
  const types = { ...ids, data: new Int32Array(2) };
  const tensors = { input_ids: ids, attention_mask: mask, token_type_ids: types, sequence_output: output };
  writeSafetensors(file, { ...tensors, ...change.tensors }, { texts: JSON.stringify(change.texts ?? ['好']) });
  const bytes = readFileSync(file);
  rmSync(directory, { recursive: true });
  const bundle = {
    dir: '/toy',
    contract: {
      files: { 'golden.safetensors': {} },
      outputs: change.outputs ?? [{ name: 'sequence_output' }],
      padding: 'masked',
      accuracy: { budget: { atol: 1e-5, rtol: 0 } },
      ...change.contract,
    },
    read: () => bytes,
  };
  const tokenizer = { encode: () => ({ ids: Int32Array.of(...(change.ids ?? [5, 6])), typeIds: new Int32Array(2) }) };
  const encoder = {
    /** @param {{ids: Int32Array}[]} encodings */
    pad: ([{ ids: row }]) => ({
      input_ids: { shape: [1, row.length], data: row },
      attention_mask: { shape: [1, row.length], data: new Int32Array(row.length).fill(1) },
    }),
    run: async () => ({ sequence_output: { shape: [1, 2], data: Float32Array.of(0.5, change.value ?? 0.25) } }),
  };
  return /** @type {[any, any, any]} */ ([bundle, tokenizer, encoder]);
}

/** @param {any} change */
async function failed(change) {
  const checks = await verifyBundle(...toy(change));
  return checks.filter(({ passed }) => !passed).map(({ name, said }) => `${name}: ${said}`);
}

test('a bundle with the ids and outputs of Python passes', async () => {
  const checks = await verifyBundle(...toy());
  assert.deepEqual(
    checks.map(({ name, passed }) => [name, passed]),
    [
      ['ids', true],
      ['sequence_output', true],
    ],
  );
});

test('a difference is reported', async () => {
  assert.match((await failed({ ids: [5, 7] }))[0], /^ids: input_ids of "好": got 7 at position 1, expected 6/);
  assert.match((await failed({ ids: [5] }))[0], /^ids: input_ids: got shape \[1,1\], expected \[1,2\]/);
  assert.match((await failed({ value: 0.26 }))[0], /^sequence_output: got 0\.25999999046325684/);
  const [said] = await failed({ outputs: [{ name: 'sequence_output' }, { name: 'pooled_output' }] });
  assert.equal(said, 'pooled_output: the golden cases have no such output');
});

test('each output has its own budget, and an older bundle has one for all', async () => {
  const budgets = { sequence_output: { atol: 0.02, rtol: 0 } };
  const wide = { contract: { accuracy: { budget: { atol: 1e-5, rtol: 0 }, budgets } }, value: 0.26 };
  assert.deepEqual(await failed(wide), []);
  assert.equal((await verifyBundle(...toy(wide)))[1].budget, 0.02);
  assert.match((await failed({ value: 0.26 }))[0], /^sequence_output: got 0\.259/);
});

test('an invalid budget is refused and never passes', async () => {
  const wrong = [
    { atoll: 1e-5, rtol: 0 },
    { atol: NaN, rtol: 0 },
    { atol: Infinity, rtol: 0 },
    { atol: -1, rtol: 0 },
    { atol: 1e-5 },
    { atol: '1e-5', rtol: 0 },
    { atol: null, rtol: 0 },
    undefined,
  ];
  for (const budget of wrong) {
    const own = { budget: { atol: 1e-5, rtol: 0 }, budgets: { sequence_output: budget } };
    for (const accuracy of [own, { budget }]) {
      await assert.rejects(verifyBundle(...toy({ contract: { accuracy } })), /sequence_output: got [ar]tol .* in the budget/);
    }
    assert(!compareTensors(of([5]), of([1]), /** @type {any} */ (budget)).close);
    assert(!compareTensors(of([1]), of([1]), /** @type {any} */ (budget)).close);
  }
});

test('a bundle without golden cases, texts or a budget is refused, never passed', async () => {
  assert.throws(() => readGoldenCases(toy({ contract: { files: {} } })[0]), /no golden cases/);
  await assert.rejects(verifyBundle(...toy({ texts: [] })), /golden\.safetensors: at \/texts: array has too few items/);
  await assert.rejects(verifyBundle(...toy({ contract: { accuracy: null } })), /without texts or budget/);
});

test('golden ids that are missing or do not fit the texts are refused', () => {
  const ids = (/** @type {number[]} */ ...shape) => ({
    dtype: 'I32',
    shape,
    data: new Int32Array(shape.reduce((a, b) => a * b, 1)),
  });
  /** @type {[any, RegExp][]} */
  const wrong = [
    [{ texts: ['好', '坏'] }, /got input_ids I32\[1,2\], expected I32\[2,2\]/],
    [{ tensors: { input_ids: ids(2) } }, /got input_ids I32\[2\], expected I32\[1,sequence\]/],
    [{ tensors: { attention_mask: ids(1, 3) } }, /got attention_mask I32\[1,3\], expected I32\[1,2\]/],
    [
      { tensors: { token_type_ids: { dtype: 'F32', shape: [1, 2], data: new Float32Array(2) } } },
      /got token_type_ids F32\[1,2\]/,
    ],
    [{ texts: 'text' }, /at \/texts/],
    [{ texts: [1] }, /at \/texts\/0/],
  ];
  for (const [change, said] of wrong) assert.throws(() => readGoldenCases(toy(change)[0]), said);
});

test('masked positions do not count, attended ones do', async () => {
  const tensors = {
    attention_mask: { dtype: 'I32', shape: [1, 2], data: Int32Array.of(1, 0) },
    sequence_output: { dtype: 'F32', shape: [1, 2, 1], data: Float32Array.of(0.5, 99) },
  };
  const only = (/** @type {string[]} */ said) => said.filter((line) => line.startsWith('sequence_output'));
  const [bundle, tokenizer, encoder] = toy({ tensors });
  encoder.run = async () => ({ sequence_output: { shape: [1, 2, 1], data: Float32Array.of(0.5, 0.25) } });
  const output = async () => (await verifyBundle(bundle, tokenizer, encoder)).find(({ name }) => name === 'sequence_output');
  assert.equal((await output())?.passed, true);
  bundle.contract.padding = 'attended';
  assert.match((await output())?.said ?? '', /got 0\.25 at \[0,1,0\], expected 99/);
  assert.deepEqual(only(await failed({ value: 0.25 })), []);
});

/** Two golden texts of three and one ids, padded; the vectors of a text count up from its first id. */
function twoTexts(/** @type {number} */ error = 0) {
  const tensors = {
    input_ids: { dtype: 'I32', shape: [2, 3], data: Int32Array.of(5, 6, 7, 8, 0, 0) },
    attention_mask: { dtype: 'I32', shape: [2, 3], data: Int32Array.of(1, 1, 1, 1, 0, 0) },
    token_type_ids: { dtype: 'I32', shape: [2, 3], data: new Int32Array(6) },
    // As wide as the texts are long: only the contract tells that axis 1 is no sequence.
    pooled_output: { dtype: 'F32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    sequence_output: { dtype: 'F32', shape: [2, 3, 1], data: Float32Array.of(5, 6, 7, 8, -1, -1) },
  };
  const outputs = [
    { name: 'pooled_output', role: 'pooled_output', shape: ['batch', 3] },
    { name: 'sequence_output', role: 'sequence_output', shape: ['batch', 'sequence', 1] },
  ];
  const [bundle] = toy({ tensors, outputs, texts: ['三', '一'] });
  const rows = [Int32Array.of(5, 6, 7), Int32Array.of(8)];
  const tokenizer = { encode: (/** @type {string} */ text) => ({ ids: rows['三一'.indexOf(text)], typeIds: new Int32Array(3) }) };
  const encoder = {
    pad: (/** @type {{ids: Int32Array}[]} */ encodings) => {
      const shape = [encodings.length, 3];
      const data = Int32Array.from(encodings.flatMap(({ ids }) => [...ids, 0, 0].slice(0, 3)));
      return { input_ids: { shape, data }, attention_mask: { shape, data: data.map((id) => Number(id > 0)) } };
    },
    run: async (/** @type {any[]} */ { length }) => ({
      pooled_output: { shape: [length, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6).slice(0, 3 * length) },
      sequence_output: { shape: [length, 3, 1], data: Float32Array.of(5, 6, 7, 8, -9, -9).slice(0, 3 * length) },
    }),
    sequences: async (/** @type {{ids: Int32Array}[]} */ encodings) =>
      encodings.map(({ ids }) => Float32Array.from(ids, (id) => id + error)),
  };
  return /** @type {[any, any, any]} */ ([bundle, tokenizer, encoder]);
}

test('a check of the first texts uses their rows only', async () => {
  for (const count of [1, 2, 3]) {
    const checks = await verifyBundle(...twoTexts(), count);
    assert.deepEqual(
      checks.map(({ name, passed, said }) => [name, passed, said]),
      [
        ['ids', true, ''],
        ['pooled_output', true, ''],
        ['sequence_output', true, ''],
      ],
    );
  }
});

test('the vectors for training are compared text by text', async () => {
  assert.deepEqual(await verifyVectors(...twoTexts()), {
    name: 'sequence_output',
    passed: true,
    maxAbs: 0,
    budget: 1e-5,
    rtol: 0,
    said: '',
  });
  const { passed, said } = await verifyVectors(...twoTexts(0.5));
  assert.equal(passed, false);
  assert.match(said, /^sequence_output of "三": got 5\.5 at \[0,0\], expected 5/);
});
