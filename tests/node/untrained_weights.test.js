/** Untrained weights are named at the start of a training and on its page; trained ones are not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Decisions } from '../../node_bridge/classifier/evaluation/evaluation.js';
import { computeMetrics } from '../../node_bridge/classifier/evaluation/metrics.js';
import { formatIntroduction } from '../../node_bridge/classifier/training/train_messages.js';
import { renderTrainingPage } from '../../node_bridge/classifier/training/training_page.js';

/** @typedef {Parameters<typeof formatIntroduction>} Introduction */
const CASES = /** @type {const} */ ([
  [false, /UNTRAINED WEIGHTS/, true],
  [true, /\(trained weights\)/, false],
  [null, /\(weights of unknown training\)/, false],
]);

/** @param {boolean | null} trained */
function renderPage(trained) {
  const decisions = new Decisions(2, 2);
  decisions.add(Float32Array.of(0.9, 0.1), 0);
  decisions.add(Float32Array.of(0.2, 0.8), 1);
  return renderTrainingPage({
    name: 'albert_tiny',
    trained,
    history: [],
    bestEpoch: 1,
    bestBy: 'accuracy',
    data: [],
    settings: [],
    metrics: computeMetrics(decisions.summarize(), ['0', '1']),
    wrong: [],
    warnings: [],
  });
}

test('the introduction of a training says what the weights are', () => {
  const data = { count: 2, task: 'single texts' };
  for (const [trained, said] of CASES) {
    const bundle = /** @type {Introduction[0]} */ (
      /** @type {unknown} */ ({ contract: { name: 'albert_tiny', trained }, dir: '/bundle' })
    );
    const problem = /** @type {Introduction[1]} */ (/** @type {unknown} */ ({ train: data, dev: data, labels: ['0', '1'] }));
    assert.match(formatIntroduction(bundle, problem)[0], said);
  }
});

test('the page of a training warns of untrained weights alone', () => {
  for (const [trained, , warned] of CASES) {
    assert.equal(/weights of the encoder are untrained/.test(renderPage(trained)), warned, String(trained));
  }
});
