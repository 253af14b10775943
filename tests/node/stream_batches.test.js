import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import { streamBatches } from '../../node_bridge/data/text_stream.js';

/** Counts up; says how far it was read and whether it was closed. */
class Source {
  read = 0;
  closed = false;

  /** @param {number} count @param {() => Promise<unknown>} [wait] before each number */
  async *upTo(count, wait = async () => {}) {
    try {
      for (let i = 0; i < count; i += 1) {
        await wait();
        this.read += 1;
        yield i;
      }
    } finally {
      this.closed = true;
    }
  }
}

/** @param {number} from @param {number} to */
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);

test('a fast source gives full batches in order; the last batch has the rest', async () => {
  const got = [];
  for await (const batch of streamBatches(new Source().upTo(25), 10)) got.push(batch);
  assert.deepEqual(got, [range(0, 10), range(10, 20), range(20, 25)]);
  const all = [];
  for await (const batch of streamBatches(range(0, 20), 10)) all.push(batch);
  assert.deepEqual(all, [range(0, 10), range(10, 20)], 'an array too');
  for await (const batch of streamBatches([], 10)) assert.fail(`got ${batch}`);
});

test('items are passed on without waiting for the next item', async () => {
  let release = () => {};
  const gate = () => new Promise((/** @type {(value?: undefined) => void} */ resolve) => (release = resolve));
  const source = new Source();
  const all = streamBatches(source.upTo(3, gate), 10);
  for (const expected of [0, 1, 2]) {
    const next = all.next();
    await turn();
    release();
    // The source gives nothing more until it is released again.
    assert.deepEqual(await next, { done: false, value: [expected] });
    assert.equal(source.read, expected + 1);
  }
  assert.deepEqual(await all.next(), { done: true, value: undefined });
});

test('at most one batch is read ahead, while the first is in use', async () => {
  const source = new Source();
  const all = streamBatches(source.upTo(100), 10);
  for (let received = 10; received < 60; received += 10) {
    assert.equal((await all.next()).value?.length, 10);
    for (let i = 0; i < 50; i += 1) await turn();
    assert.equal(source.read, received + 10);
  }
});

test('a reader that stops early closes the source', async () => {
  const source = new Source();
  for await (const batch of streamBatches(source.upTo(100), 10)) {
    assert.equal(batch.length, 10);
    break;
  }
  for (let i = 0; i < 50; i += 1) await turn();
  assert.equal(source.closed, true);
  assert.ok(source.read <= 20, `${source.read} were read`);
});

test('an error of the source comes after all items before it', async () => {
  async function* failing() {
    yield* range(0, 13);
    throw new Error('torn');
  }
  /** @type {number[]} */
  const got = [];
  const reading = (async () => {
    for await (const batch of streamBatches(failing(), 10)) got.push(...batch);
  })();
  await assert.rejects(reading, /torn/);
  assert.deepEqual(got, range(0, 13));
});
