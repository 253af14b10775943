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

test('a fast source gives full windows, in order; the last one is what is left', async () => {
  const got = [];
  for await (const window of streamBatches(new Source().upTo(25), 10)) got.push(window);
  assert.deepEqual(got, [range(0, 10), range(10, 20), range(20, 25)]);
  const all = [];
  for await (const window of streamBatches(range(0, 20), 10)) all.push(window);
  assert.deepEqual(all, [range(0, 10), range(10, 20)], 'an array too');
  for await (const window of streamBatches([], 10)) assert.fail(`got ${window}`);
});

test('what has come is given before anything else comes', async () => {
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

test('no more than one window is read ahead, and that while the first is worked at', async () => {
  const source = new Source();
  const all = streamBatches(source.upTo(100), 10);
  for (let given = 10; given < 60; given += 10) {
    assert.equal((await all.next()).value?.length, 10);
    for (let i = 0; i < 50; i += 1) await turn();
    assert.equal(source.read, given + 10);
  }
});

test('leaving closes the source', async () => {
  const source = new Source();
  for await (const window of streamBatches(source.upTo(100), 10)) {
    assert.equal(window.length, 10);
    break;
  }
  for (let i = 0; i < 50; i += 1) await turn();
  assert.equal(source.closed, true);
  assert.ok(source.read <= 20, `${source.read} were read`);
});

test('an error of the source comes after what was before it', async () => {
  async function* failing() {
    yield* range(0, 13);
    throw new Error('torn');
  }
  /** @type {number[]} */
  const got = [];
  const reading = (async () => {
    for await (const window of streamBatches(failing(), 10)) got.push(...window);
  })();
  await assert.rejects(reading, /torn/);
  assert.deepEqual(got, range(0, 13));
});
