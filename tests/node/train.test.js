import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as tf from '@tensorflow/tfjs-core';

import { useBackend } from '../../node_bridge/backends/index.js';
import { Classifier } from '../../node_bridge/classifier.js';
import { featuresOf } from '../../node_bridge/features.js';
import { problemOf, trainOn } from '../../node_bridge/training.js';
import { ToyEncoder, toyTokenizer } from './toys.js';

const SETTINGS = { epochs: 8, batchSize: 16, seed: 1, learningRate: 0.005, maxLength: 12 };

/** @param {[string, string, string?][]} rows text, label, pair @param {string} path */
function dataset(rows, path) {
  const examples = rows.map(([text, label, pair], i) => ({ text, pair, label, line: i + 1 }));
  return { path, task: rows[0][2] === undefined ? /** @type {const} */ ('single') : /** @type {const} */ ('pair'), examples };
}

/** Reviews with 好 or 坏, 0 to 6 other characters around. @param {number} count @param {number} from */
function reviews(count, from) {
  return Array.from({ length: count }, (_, i) => {
    const word = (from + i) % 2 === 0 ? '好' : '坏';
    return /** @type {[string, string]} */ (['书'.repeat((from + i) % 7) + word, word === '好' ? '1' : '0']);
  });
}

const SILENT = { progress: () => ({ advance() {}, done() {}, stop() {} }), noteOf: () => '' };

test('trains on texts, each distinct one encoded once; predicts the same probabilities', async () => {
  await useBackend('wasm');
  const encoder = new ToyEncoder();
  const tools = { tokenizer: toyTokenizer, encoder };
  const problem = problemOf(dataset(reviews(200, 0), 'train'), dataset(reviews(40, 3), 'dev'));
  /** @type {string[]} */
  const notes = [];
  const trained = await trainOn(problem, tools, SETTINGS, {
    progress: (title, total) => ({ advance() {}, stop() {}, done: (note) => notes.push(`${title}, ${total}, ${note}`) }),
    noteOf: ({ epoch }) => `note ${epoch}`,
  });
  assert.equal(encoder.batches.flat().length, 14, '7 lengths of 2 words');
  assert.equal(notes[0], 'encoding texts, 240, undefined');
  assert.equal(notes[8], 'epoch 8 of 8, 200, note 8');
  assert.equal(notes.length, 9);
  assert.equal(trained.devAccuracy, 1);
  assert.deepEqual(trained.confusion, [[20, 0], [0, 20]]);
  assert.equal(new Set(trained.epochs.map(({ tensors }) => tensors)).size, 1);
  assert.equal(trained.epochs.at(-1)?.devLoss, trained.devLoss);

  const texts = reviews(2000, 1).map(([text]) => ({ text }));
  const before = tf.memory().numTensors;
  const predictions = await new Classifier({ ...tools, head: trained.classifier }).predict(texts);
  assert.equal(tf.memory().numTensors, before);
  const rows = await trained.classifier.probabilities(await featuresOf(texts, tools));
  assert.deepEqual(predictions.map(({ text }) => text), texts.map(({ text }) => text));
  predictions.forEach(({ text, label, probability, probabilities }, i) => {
    assert.equal(label, text?.endsWith('好') ? '1' : '0');
    assert.deepEqual(probabilities, { 0: rows[i][0], 1: rows[i][1] });
    assert.equal(probability, Math.max(...rows[i]));
  });
});

test('pairs, and any number of labels', async () => {
  await useBackend('wasm');
  const rows = Array.from({ length: 120 }, (_, i) => {
    const kind = i % 4;
    return /** @type {[string, string, string]} */ (['好'.repeat(kind % 2), `类${kind}`, '坏'.repeat(kind >> 1)]);
  });
  const encoder = new ToyEncoder();
  const tools = { tokenizer: toyTokenizer, encoder };
  const problem = problemOf(dataset(rows, 'train'), dataset(rows.slice(0, 8), 'dev'));
  const { classifier, devAccuracy } = await trainOn(problem, tools, { ...SETTINGS, epochs: 20 }, SILENT);
  assert.equal(devAccuracy, 1);
  const prediction = await new Classifier({ ...tools, head: classifier }).predict({ text: '好', pair: '坏' });
  assert.deepEqual(Object.keys(prediction), ['sentence1', 'sentence2', 'label', 'probability', 'probabilities']);
  assert.equal(prediction.label, '类3');
});

test('sets that make no problem', () => {
  const train = dataset(reviews(4, 0), 'train.jsonl');
  assert.throws(() => problemOf(train, dataset([['a', '2']], 'dev.jsonl')), /dev\.jsonl:1: got label "2"/);
  assert.throws(() => problemOf(train, dataset([['a', '1', 'b']], 'dev.jsonl')), /dev\.jsonl pair ones/);
  assert.throws(() => problemOf(dataset([['a', '1']], 't.jsonl'), train), /t\.jsonl has one label only/);
});
