/** Every function of the package refuses options that it does not have, and says which one was meant. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import * as library from '../../node_bridge/index.js';
import { writeToyBundle } from './toy_bundle.js';

const { Bundle, Classifier, Encoder, TokenClassifier, Tokenizer, UserError } = library;
const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const embedded = join(root, 'artifacts', 'bundle', 'albert_tiny');
const dir = mkdtempSync(join(tmpdir(), 'library-options-'));
after(() => rmSync(dir, { recursive: true }));
const NOWHERE = join(dir, 'nowhere');

/** @type {{classifier: any, tokenClassifier: any, encoder: any, tokenizer: any}} */
let open;
before(async () => {
  const classifier = { activation: /** @type {const} */ ('softmax'), labels: ['0', '1'] };
  const decides = join(dir, 'decides');
  const labels = join(dir, 'labels');
  writeToyBundle(decides, { classifier: { ...classifier, task: 'single_label' }, otherScores: [0, 1] });
  writeToyBundle(labels, { classifier: { ...classifier, task: 'token_labels', scheme: 'none' }, otherScores: [0, 1] });
  open = {
    classifier: await Classifier.load(decides, { backend: 'cpu' }),
    tokenClassifier: await TokenClassifier.load(labels, { backend: 'cpu' }),
    encoder: await Encoder.load(decides, { backend: 'cpu' }),
    tokenizer: Tokenizer.fromBundle(Bundle.open(embedded)),
  };
});

/** Calls of each function that takes options, by its name: with these options, and with everything else right. @type {Record<string, (options: any) => unknown>} */
const WITH_OPTIONS = {
  'Bundle.open': (options) => Bundle.open(NOWHERE, options),
  'new Tokenizer': (options) => new Tokenizer(options),
  'Tokenizer encode': (options) => open.tokenizer.encode('好', options),
  'Tokenizer encodeWithTokens': (options) => open.tokenizer.encodeWithTokens('好', options),
  'Encoder.load': (options) => Encoder.load(NOWHERE, options),
  'Encoder encode': (options) => open.encoder.encode(['好'], options),
  'Classifier.load': (options) => Classifier.load(NOWHERE, options),
  'Classifier predict': (options) => open.classifier.predict('好', options),
  'Classifier stream': (options) => open.classifier.stream(['好'], options),
  'TokenClassifier.load': (options) => TokenClassifier.load(NOWHERE, options),
  'TokenClassifier predict': (options) => open.tokenClassifier.predict('好', options),
  'TokenClassifier stream': (options) => open.tokenClassifier.stream(['好'], options),
};

/** The functions without options: what they take has a place of its own. */
const WITHOUT_OPTIONS = [
  ...['read', 'check', 'file', 'has'].map((name) => `Bundle ${name}`),
  'Tokenizer.fromBundle',
  ...['setOffsets', 'layOut', 'assemble', 'scanText'].map((name) => `Tokenizer ${name}`),
  ...['pad', 'firstPosition', 'means', 'pooled', 'sequences', 'rowsOf', 'run', 'runBatch', 'dispose'].map(
    (name) => `Encoder ${name}`,
  ),
  'Classifier dispose',
  'TokenClassifier dispose',
];

/** The functions of all classes of the package that are no errors, as WITH_OPTIONS names them. */
function listFunctions() {
  return Object.entries(library)
    .filter(([, exported]) => !(exported.prototype instanceof Error))
    .flatMap(([name, exported]) => {
      const statics = listMethods(exported).map((method) => `${name}.${method}`);
      return [...statics, ...listMethods(exported.prototype).map((method) => `${name} ${method}`)];
    });
}

/** @param {object} owner a class or its prototype */
function listMethods(owner) {
  const properties = Object.entries(Object.getOwnPropertyDescriptors(owner));
  return properties.flatMap(([name, { value }]) => (typeof value === 'function' && name !== 'constructor' ? [name] : []));
}

/** @param {() => unknown} call @param {RegExp} message */
async function assertRefused(call, message) {
  await assert.rejects(
    async () => call(),
    (/** @type {Error} */ error) => {
      assert(error instanceof UserError, error.stack);
      assert.match(error.message, message);
      return true;
    },
  );
}

test('every function of the package is known here, with options or without', () => {
  const known = [...Object.keys(WITH_OPTIONS).filter((name) => !name.startsWith('new ')), ...WITHOUT_OPTIONS];
  assert.deepEqual(listFunctions().sort(), known.sort());
});

for (const [name, call] of Object.entries(WITH_OPTIONS)) {
  test(`${name} refuses what is no option of it`, async () => {
    await assertRefused(() => call({ frobnicate: 1 }), / has no option `frobnicate`; it has (none|[a-z]\w*(, \w+)*)$/i);
    await assertRefused(() => call({ frobnicate: undefined }), / has no option `frobnicate`/);
    for (const other of [null, 'wasm', 7, ['top']])
      await assertRefused(() => call(other), /^Expected the options of .* to be an object/);
  });
}

test('the nearest name is said, and what was meant as something else', async () => {
  const { classifier, encoder, tokenizer } = open;
  const any = (/** @type {unknown} */ options) => /** @type {any} */ (options);
  const calls = /** @type {[() => unknown, RegExp][]} */ ([
    [() => Classifier.load(NOWHERE, any({ worker: 3 })), /^Classifier\.load has no option `worker`; did you mean `workers`\?$/],
    [
      () => Classifier.load(NOWHERE, any('wasm')),
      /^Expected the options of Classifier\.load to be an object with bundle, backend, .*, windowPooling, got "wasm"$/,
    ],
    [() => classifier.predict('好', any({ topk: 3 })), /^predict has no option `topk`; did you mean `top`\?$/],
    [() => classifier.predict('好', any({ frobnicate: 3 })), /^predict has no option `frobnicate`; it has top, signal$/],
    [
      () => classifier.stream(['好'], any({ keepBrocken: true })),
      /^stream has no option `keepBrocken`; did you mean `keepBroken`\?$/,
    ],
    [() => Encoder.load(NOWHERE, any({ backened: 'cpu' })), /^Encoder\.load has no option `backened`; did you mean `backend`\?$/],
    [
      () => Bundle.open(NOWHERE, any({ trustedkey: '' })),
      /^Bundle\.open has no option `trustedkey`; did you mean `trustedKeys`\?$/,
    ],
    [() => encoder.encode(['好'], any({ maxlength: 3 })), /^encode has no option `maxlength`; did you mean `maxLength`\?$/],
    [() => tokenizer.encode('好', any({ maxlength: 3 })), /^encode has no option `maxlength`; did you mean `maxLength`\?$/],
    // The pair, as other libraries take it: it was left out of the ids without a word.
    [() => tokenizer.encode('好', any('坏')), /^Expected the options of encode to be an object with pair, .* got "坏"$/],
    [() => tokenizer.encodeWithTokens('好', any(null)), /to be an object with pair, .* got null$/],
  ]);
  for (const [call, message] of calls) await assertRefused(call, message);
});
