/** Calls that come together are computed together, and no call suffers from another one. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';

import { MAX_TOGETHER, MAX_WAITING, QueueFull, RequestQueue } from '../../node_bridge/classifier/request_queue.js';

/**
 * A queue whose batches are noted, and end when the test lets them.
 *
 * @param {(text: string) => void} [check]
 */
function createQueue(check = () => {}) {
  /** @type {string[][]} */
  const batches = [];
  /** @type {(() => void)[]} */
  const gates = [];
  let isOpen = true;
  const queue = new RequestQueue(async (texts) => {
    batches.push(texts.map(({ text }) => text));
    if (!isOpen) await new Promise((/** @type {(value?: unknown) => void} */ done) => gates.push(done));
    texts.forEach(({ text }) => check(text));
    return texts.map(({ text }) => text.toUpperCase());
  });
  return {
    queue,
    batches,
    /** @param {boolean} open */
    gate(open) {
      isOpen = open;
      if (open) gates.splice(0).forEach((done) => done());
    },
    async started() {
      while (gates.length === 0) await sleep(1);
    },
  };
}

/** @param {string} text */
const of = (text) => [{ text }];

test('calls at the same time are one batch, and each has its own results in order', async () => {
  const { queue, batches } = createQueue();
  const answers = await Promise.all([queue.add(of('a')), queue.add([{ text: 'b' }, { text: 'c' }]), queue.add(of('d'))]);
  assert.deepEqual(answers, [['A'], ['B', 'C'], ['D']]);
  assert.deepEqual(batches, [['a', 'b', 'c', 'd']]);
});

test('what comes during a batch is the next batch, and no batch is larger than allowed', async () => {
  const { queue, batches, gate, started } = createQueue();
  gate(false);
  const first = queue.add(of('first'));
  await started();
  const others = Array.from({ length: MAX_TOGETHER + 1 }, (_, i) => queue.add(of(`t${i}`)));
  gate(true);
  await Promise.all([first, ...others]);
  assert.deepEqual(
    batches.map(({ length }) => length),
    [1, MAX_TOGETHER, 1],
  );
  await queue.add(of('later'));
  assert.deepEqual(batches.at(-1), ['later']);
});

test('an error fails the call whose text is the cause, and no other', async () => {
  const { queue } = createQueue((text) => {
    if (text === 'bad') throw new Error('not finite');
  });
  const calls = ['a', 'bad', 'b'].map((text) => queue.add(of(text)));
  const [one, two, three] = await Promise.allSettled(calls);
  assert.deepEqual(
    [one, three],
    [
      { status: 'fulfilled', value: ['A'] },
      { status: 'fulfilled', value: ['B'] },
    ],
  );
  assert.equal(two.status === 'rejected' && two.reason.message, 'not finite');
});

test('an aborted call fails at once, and its text is not computed if it still waits', async () => {
  const { queue, batches, gate, started } = createQueue();
  gate(false);
  const [running, waiting] = [new AbortController(), new AbortController()];
  const first = queue.add(of('running'), running.signal);
  await started();
  const second = queue.add(of('waiting'), waiting.signal);
  const third = queue.add(of('other'), new AbortController().signal);
  waiting.abort(new Error('too late'));
  running.abort();
  await assert.rejects(second, /^Error: too late$/);
  await assert.rejects(first, { name: 'AbortError' });
  gate(true);
  assert.deepEqual(await third, ['OTHER']);
  assert.deepEqual(batches, [['running'], ['other']]);
  await assert.rejects(queue.add(of('x'), AbortSignal.abort(new Error('before'))), /before/);
});

test('signals are not held on to', async () => {
  const { queue } = createQueue();
  const { signal } = new AbortController();
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (/** @type {Parameters<typeof add>} */ ...args) => {
    listeners += 1;
    add(...args);
  };
  signal.removeEventListener = (/** @type {Parameters<typeof remove>} */ ...args) => {
    listeners -= 1;
    remove(...args);
  };
  for (let i = 0; i < 20; i += 1) await queue.add(of('a'), signal);
  assert.equal(listeners, 0);
});

test('a full queue refuses what does not fit, with a code, and goes on', async () => {
  const { queue, gate, started } = createQueue();
  gate(false);
  const first = queue.add(of('first'));
  await started();
  const many = queue.add(Array.from({ length: MAX_WAITING - 1 }, () => ({ text: 'x' })));
  await assert.rejects(queue.add([{ text: 'y' }, { text: 'z' }]), (/** @type {any} */ error) => {
    assert.ok(error instanceof QueueFull);
    assert.equal(error.code, 'ERR_QUEUE_FULL');
    assert.match(error.message, /^4095 texts wait to be computed, expected at most 4096; try again later/);
    return true;
  });
  const last = queue.add(of('y'));
  gate(true);
  assert.equal((await many).length, MAX_WAITING - 1);
  assert.deepEqual([await first, await last], [['FIRST'], ['Y']]);
});

test('closing fails what waits, lets the running batch end, and refuses more', async () => {
  const { queue, batches, gate, started } = createQueue();
  gate(false);
  const first = queue.add(of('first'));
  await started();
  const second = queue.add(of('second'));
  const failed = assert.rejects(second, /^Error: gone$/);
  const closed = queue.close(new Error('gone'));
  await failed;
  gate(true);
  await closed;
  assert.deepEqual(await first, ['FIRST']);
  assert.deepEqual(batches, [['first']]);
  await assert.rejects(queue.add(of('third')), /^Error: gone$/);
});
