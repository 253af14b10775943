/** What asks for too much is refused before work begins; what is no file is refused at once. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { assertBatchFitsMemory } from '../../node_bridge/classifier/training/train_settings.js';
import { TrainingCheckpoint } from '../../node_bridge/classifier/training/training.js';
import { readLinesOrErrors, readLines, MAX_LINE_BYTES } from '../../node_bridge/data/lines.js';
import { openEncoders } from '../../node_bridge/encoder/encoder_pool.js';
import { FeatureStore } from '../../node_bridge/encoder/feature_cache.js';
import { UserError } from '../../node_bridge/support/errors.js';
import { openInput, readInput } from '../../node_bridge/support/files.js';
import { parseJson } from '../../node_bridge/support/json.js';
import { encodeSafetensors, readSafetensors } from '../../node_bridge/support/safetensors.js';
import { Tokenizer } from '../../node_bridge/tokenizer/index.js';
import { writeToyBundle } from './toy_bundle.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const dir = mkdtempSync(join(tmpdir(), 'limits-'));
after(() => rmSync(dir, { recursive: true }));
const posix = { skip: process.platform === 'win32' };

/** @param {string} limit of `ulimit` @param {string} script @param {string[]} args @param {string} [input] */
function limited(limit, script, args, input = '') {
  const words = ['-c', `ulimit ${limit} && exec "$0" "$@"`, process.execPath, join(root, 'node_bridge', script), ...args];
  return spawnSync('sh', words, { input, encoding: 'utf8' });
}

/** A line of this many bytes between two short ones, in pieces. @param {number} size */
async function* stream(size) {
  yield Buffer.from('a\n');
  const piece = Buffer.alloc(2 ** 16, 'x');
  for (let left = size; left > 0; left -= piece.length) yield piece.subarray(0, Math.min(left, piece.length));
  yield Buffer.from('\nb\n');
}

test('a line that is too long is an error in its order, in constant memory', async () => {
  const found = [];
  const before = process.memoryUsage().rss;
  for await (const line of readLinesOrErrors(stream(600e6), 'x')) found.push(line);
  assert.equal(found.length, 3);
  assert.deepEqual([found[0], found[2]], ['a', 'b']);
  assert(found[1] instanceof UserError);
  assert.match(found[1].message, /the line has more than 16777216 bytes/);
  assert(process.memoryUsage().rss - before < 300e6);
  await assert.rejects(async () => {
    for await (const line of readLines(stream(MAX_LINE_BYTES + 1), 'data')) void line;
  }, /data:2: the line has more than/);
});

test('a line of the largest allowed length is read', async () => {
  const lengths = [];
  for await (const line of readLines(stream(MAX_LINE_BYTES), 'x')) lengths.push(line.length);
  assert.deepEqual(lengths, [1, MAX_LINE_BYTES, 1]);
});

test('pipes, devices, sockets and directories are refused where a file is expected', posix, async () => {
  const directory = mkdtempSync(join(dir, 'odd-'));
  execFileSync('mkfifo', [join(directory, 'fifo')]);
  const server = createServer().listen(join(directory, 'socket'));
  await new Promise((done) => server.once('listening', done));
  for (const [name, kind] of [
    ['fifo', /a pipe/],
    ['socket', /a socket/],
    ['.', /a directory/],
  ]) {
    assert.throws(
      () => openInput(join(directory, String(name))),
      (error) => error instanceof UserError && new RegExp(kind).test(error.message),
    );
  }
  server.close();
  assert.throws(() => openInput('/dev/zero'), /is a device, expected a file/);
  assert.throws(() => openInput(join(directory, 'a\0b')), /without a zero byte/);
  writeFileSync(join(directory, 'file'), 'abc');
  assert.equal(String(readInput(join(directory, 'file'), 3)), 'abc');
  assert.throws(() => readInput(join(directory, 'file'), 2), /has 3 bytes, expected at most 2/);
});

test('/dev/stdin is accepted where stdin is a file, and refused where it is a pipe', posix, () => {
  const bundle = join(dir, 'stdin-toy');
  writeToyBundle(bundle);
  const data = join(dir, 'stdin.jsonl');
  writeFileSync(data, '{"text":"a","label":1}\n');
  const train = (/** @type {string} */ source) =>
    spawnSync(
      'sh',
      [
        '-c',
        `${source} "$0" "$1" --bundle "$2" --train /dev/stdin --split 0.5 --out "$out"`,
        process.execPath,
        join(root, 'node_bridge', 'train.js'),
        bundle,
      ],
      { encoding: 'utf8', env: { ...process.env, data, out: join(dir, 'none') } },
    );
  assert.match(train('cat "$data" |').stderr, /^error: \/dev\/stdin is a (pipe|socket).*, expected a file\n$/);
  // Read as a file: what is wrong is its content.
  assert.match(train('exec < "$data";').stderr, /^error: \/dev\/stdin has 1 examples, too few/);
});

test('JSON of 500 nested brackets is read, and deeper JSON is refused', () => {
  const nested = (/** @type {number} */ depth) => '['.repeat(depth) + ']'.repeat(depth);
  assert.deepEqual(parseJson(nested(500)).flat(Infinity), []);
  assert.throws(() => parseJson(nested(501), 'x'), /^Error: x: broken JSON, got more than 500 brackets/);
  assert.throws(() => parseJson(nested(100_000)), UserError);
  assert.equal(parseJson(JSON.stringify('['.repeat(1000))).length, 1000);
  assert.equal(parseJson(JSON.stringify({ a: '\\"[['.repeat(1000) })).a.length, 4000);
});

test('safetensors files that the format does not allow are refused', () => {
  const file = (/** @type {unknown} */ header, bytes = 8) => {
    const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    return Buffer.concat([length, text, Buffer.alloc(bytes)]);
  };
  const x = { dtype: 'F32', shape: [2], data_offsets: [0, 8] };
  for (const sound of [{ x }, { x, __metadata__: {} }, `${JSON.stringify({ x })}      `, { x: { ...x, shape: [2, 1, 1] } }]) {
    assert.deepEqual([...readSafetensors(file(sound)).tensors.x.data], [0, 0]);
  }
  const empty = readSafetensors(
    file({ e: { dtype: 'I32', shape: [0, 5], data_offsets: [0, 0] }, x, f: { dtype: 'F32', shape: [0], data_offsets: [8, 8] } }),
  ).tensors;
  assert.deepEqual([empty.e.data.length, empty.f.data.length], [0, 0]);
  assert.deepEqual(Object.keys(readSafetensors(file('{"__proto__":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}')).tensors), [
    '__proto__',
  ]);
  const odd = [
    [{ x: { ...x, dtype: 'toString' } }, /expected F32 or I32/],
    [{ x: { ...x, shape: [-2] } }, /no list of sizes/],
    [{ x: { ...x, shape: [2 ** 50] } }, /bytes, expected/],
    [{ x: { ...x, shape: null } }, /no list of sizes/],
    [{ x: { ...x, data_offsets: [0, 8, 9] } }, /not two offsets/],
    [{ x: { ...x, data_offsets: [-8, 0] } }, /not two offsets/],
    [{ x, y: x }, /y begins at byte/],
    [{ x: null }, /dtype undefined/],
    [{ x, __metadata__: { a: 1 } }, /something else than strings/],
    [{ x, __metadata__: [] }, /something else than strings/],
    ['[]', /no JSON object/],
    ['null', /no JSON object/],
    ['{"x":', /its header: broken JSON/],
    ['', /broken JSON/],
  ];
  for (const [header, says] of odd)
    assert.throws(
      () => readSafetensors(file(header), 'f'),
      (error) => error instanceof UserError && /** @type {RegExp} */ (says).test(error.message),
      String(says),
    );
  assert.throws(() => readSafetensors(file({ x }, 9), 'f'), /has more in it/);
  const huge = file({ x });
  huge.writeBigUInt64LE(2n ** 53n);
  assert.throws(() => readSafetensors(huge, 'f'), /cut off in its header/);
});

test('tokenizer files with a huge fold, an invalid special token or too few vocab lines are refused', () => {
  const numbers = (/** @type {number[]} */ ...values) =>
    values.flatMap((value) => {
      const bytes = [];
      for (; value >= 0x80; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
      return [...bytes, value];
    });
  const tables = (/** @type {{limit?: number, fold?: number[]}} */ { limit = 100, fold = [] }) => {
    const at = 0x597d;
    const runs =
      fold.length === 0
        ? [[0x110000, 1]]
        : [
            [at, 1],
            [1, 5],
            [0x110000 - at - 1, 1],
          ];
    return Uint8Array.from([
      ...Buffer.from('BBTT'),
      1,
      ...numbers(0, limit, runs.length, ...runs.map(([count, kind]) => count * 8 + kind)),
      ...(fold.length === 0 ? [] : numbers(fold.length, ...fold)),
      ...numbers(0),
      ...numbers(1, 0x110000 * 8),
    ]);
  };
  const special = Object.fromEntries(['pad', 'unk', 'cls', 'sep', 'mask'].map((role, id) => [role, { token: `[${role}]`, id }]));
  const make = (/** @type {any} */ { tablesBytes = tables({}), size = 6, unk = '[unk]' }) =>
    new Tokenizer({
      vocabBytes: Buffer.from('[pad]\n[unk]\n[cls]\n[sep]\n[mask]\n好\n'),
      tablesBytes,
      contract: /** @type {any} */ ({
        algorithm: 'bert',
        options: {},
        vocab_size: size,
        special_tokens: { ...special, unk: { token: unk, id: 1 } },
        source_adds_special_tokens: true,
      }),
    });
  assert.deepEqual([...make({}).encode('好').ids], [2, 5, 3]);
  assert.equal(make({ tablesBytes: tables({ fold: new Array(64).fill(0) }) }).encode('好'.repeat(100)).ids.length, 3);
  assert.throws(
    () => make({ tablesBytes: tables({ fold: new Array(65).fill(0) }) }),
    /65 symbols of a character, expected at most 64/,
  );
  assert.throws(() => make({ tablesBytes: tables({ limit: 1001 }) }), /words of up to 1001/);
  assert.throws(() => make({ size: 10 ** 9 }), /has 6 lines, expected 1000000000/);
  for (const unk of ['', null, 5, 'x'.repeat(257)]) assert.throws(() => make({ unk }), /the special token unk is/);
});

test('a checkpoint of an earlier training is used only if it is complete', () => {
  const checkpoint = new TrainingCheckpoint(join(dir, 'cache'), ['x']);
  const epoch = {
    epoch: 1,
    loss: 1,
    accuracy: 1,
    learningRate: 1,
    seconds: 1,
    tensors: 1,
    devLoss: 1,
    devAccuracy: 1,
    devMacroF1: 1,
  };
  const state = { epoch: 1, steps: 3, weights: [Float32Array.of(1)], moments: [] };
  const write = (/** @type {any} */ change) =>
    checkpoint.write({ state, best: { epoch: 1, weights: state.weights }, history: [epoch], ...change });
  write({});
  assert.equal(checkpoint.read()?.state.steps, 3);
  for (const change of [
    { history: [] },
    { history: [{}] },
    { best: { epoch: 9, weights: [] } },
    { state: { ...state, epoch: 0 } },
    { state: { ...state, steps: 'x' } },
  ]) {
    write(change);
    assert.throws(() => checkpoint.read(), /does not say where training was/);
  }
  rmSync(checkpoint.path);
  mkdirSync(checkpoint.path);
  assert.throws(() => checkpoint.read(), /is a directory/);
  checkpoint.remove();
  assert.equal(checkpoint.read(), undefined);
});

test('a file of the cache that is no shard is removed, even if its name is that of a shard', posix, () => {
  const directory = join(dir, 'features');
  mkdirSync(directory);
  const put = (/** @type {Uint8Array} */ bytes) =>
    writeFileSync(join(directory, `${createHash('sha256').update(bytes).digest('hex').slice(0, 32)}.safetensors`), bytes);
  const f32 = (/** @type {number[]} */ shape) => ({
    dtype: /** @type {const} */ ('F32'),
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
  });
  const i32 = (/** @type {number[]} */ shape, value = 1) => ({
    dtype: /** @type {const} */ ('I32'),
    shape,
    data: new Int32Array(shape.reduce((a, b) => a * b, 1)).fill(value),
  });
  for (const tensors of /** @type {Record<string, any>[]} */ ([
    {},
    { keys: i32([1, 4]) },
    { keys: i32([1, 4]), positions: i32([1]), vectors: f32([1, 9]) },
    { keys: i32([1, 4]), positions: i32([1], 7), vectors: f32([1, 4]) },
    { keys: i32([2, 3]), positions: i32([2]), vectors: f32([2, 4]) },
  ])) {
    put(Buffer.concat(encodeSafetensors(tensors)));
  }
  put(Buffer.from('no safetensors'));
  execFileSync('mkfifo', [join(directory, `${'0'.repeat(32)}.safetensors`)]);
  mkdirSync(join(directory, `${'1'.repeat(32)}.safetensors`));
  /** @type {string[]} */
  const damaged = [];
  const store = FeatureStore.open(directory, 4, (path) => damaged.push(path));
  assert.equal(store.size, 0);
  assert.equal(damaged.length, 8);
  assert.deepEqual(readdirSync(directory), []);
});

test('encoders and batches that do not fit into memory are refused', async () => {
  const bundle = join(dir, 'b');
  writeToyBundle(bundle);
  const opened = Bundle.open(bundle);
  opened.contract.files['group1-shard1of1.bin'].size = 1e12;
  await assert.rejects(
    openEncoders(opened, { backend: 'cpu', workers: 200 }),
    /got 200 encoders at a time, .* expected at most 1 on this machine/,
  );
  const problem = /** @type {any} */ ({ train: { count: 1e6 }, labels: ['a', 'b'] });
  const asked = /** @type {any} */ ({ batchSize: 1e6, head: 'bilstm', maxLength: 128 });
  assert.throws(() => assertBatchFitsMemory(asked, problem, 768), /--batch-size to be at most 2730 with/);
  assertBatchFitsMemory({ ...asked, batchSize: 2730 }, problem, 768);
  assertBatchFitsMemory(asked, { ...problem, train: { count: 2000 } }, 768);
});

test('too few file descriptors and a limit on file size are errors of the machine', posix, () => {
  const bundle = join(dir, 'toy');
  writeToyBundle(bundle);
  const out = join(dir, 'x.safetensors');
  const args = ['--bundle', bundle, '--backend', 'cpu', '--out', out];
  const files = limited('-f 4', 'encode.js', args, '好书\n'.repeat(2000));
  assert.equal(files.status, 3, files.stderr);
  assert.match(files.stderr, /error: the file is too large for this place .*\(EFBIG\)[^\n]*\n$/);
  // The modules are loaded first: where Node cannot open those, no code of ours runs.
  const program = join(dir, 'exhausted.mjs');
  const url = (/** @type {string} */ name) => JSON.stringify(pathToFileURL(join(root, 'node_bridge', name)).href);
  writeFileSync(
    program,
    `import { openSync } from 'node:fs';
    import { Bundle } from ${url('bundle/bundle.js')};
    import { runCommand } from ${url('support/command_line.js')};
    const openAll = () => { for (;;) openSync('/dev/null', 'r'); };
    await runCommand({ help: '', options: {}, main: async () => {
      try { openAll(); } catch { Bundle.open(${JSON.stringify(bundle)}); }
    } });`,
  );
  const few = spawnSync('sh', ['-c', 'ulimit -n 512 && exec "$0" "$1"', process.execPath, program], { encoding: 'utf8' });
  assert.equal(few.status, 3, few.stderr);
  assert.match(few.stderr, /^error: [^\n]*\(EMFILE\)[^\n]*\n$/);
});
