/** The page of a training: the data, the settings, learning curves, and the evaluation on the dev texts. */
import { hashFile } from '../../support/sha256.js';
import { createAxis, renderCurves } from '../evaluation/charts.js';
import { renderFacts, renderWeightsWarning } from '../evaluation/evaluation_page.js';
import { escapeHtml, renderPage } from '../evaluation/page.js';
import { formatSummary, renderEvaluation } from '../evaluation/single_label_page.js';

/** Under so many epochs as fit beside each other. */
const MAX_EPOCH_TICKS = 12;

/**
 * @typedef {import('./training.js').EpochResult} EpochResult
 */

/**
 * @param {object} result
 * @param {string} result.name of the bundle
 * @param {boolean | null} result.trained whether the weights of the bundle were trained; null: unknown
 * @param {EpochResult[]} result.history
 * @param {number} result.bestEpoch
 * @param {string} result.bestBy
 * @param {[string, string][]} result.data facts about the data files
 * @param {[string, string][]} result.settings
 * @param {import('../evaluation/metrics.js').Metrics} result.metrics of the best epoch on the dev texts
 * @param {import('../evaluation/wrong_texts.js').WrongText[]} result.wrong dev texts, the most confident first
 * @param {string[]} result.warnings about the data, without the paths of its files
 * @returns {string}
 */
export function renderTrainingPage({ name, trained, history, bestEpoch, bestBy, data, settings, metrics, wrong, warnings }) {
  return renderPage(`Training of ${name}`, [
    ...renderWeightsWarning(trained),
    `<p>Best of ${history.length} epochs by ${escapeHtml(bestBy)}: ${bestEpoch}. On the dev texts: ${escapeHtml(formatSummary(metrics))}.</p>`,
    '<h2>About the data</h2>',
    renderFacts(data),
    `<ul>\n${warnings.map((line) => `<li>${escapeHtml(line)}</li>`).join('\n')}\n</ul>`,
    '<h2>Settings</h2>',
    renderFacts(settings),
    ...renderLearningCurves(history, bestEpoch),
    ...renderEvaluation({
      metrics,
      wrong,
      allWrong: 'They are dev texts, by their lines: no text is kept here. evaluate.js shows the texts.',
    }),
  ]);
}

/**
 * What the page says of the two sets: counts, and the sha256 of their files. The page is published with the
 * classifier, so it has no paths of this machine.
 *
 * @param {import('./training.js').TrainingProblem} problem
 * @returns {Promise<[string, string][]>}
 */
export async function describeData({ train, dev, labels }) {
  const sum = await hashFile(train.path);
  return [
    ['training texts', `${train.count} (${train.task})`],
    ['sha256 of their file', sum],
    ['dev texts', String(dev.count)],
    ['sha256 of their file', dev.path === train.path ? `${sum} (the same file)` : await hashFile(dev.path)],
    ['labels', String(labels.length)],
  ];
}

/** @param {EpochResult[]} history @param {number} bestEpoch @returns {string[]} */
function renderLearningCurves(history, bestEpoch) {
  return [
    '<h2>Learning curves</h2>',
    '<p class="key"><b class="amber">training texts</b>, each as it was when its batch came · <b class="blue">dev texts</b>, after the epoch · dashed: the best epoch</p>',
    ...renderLearningCurve('Loss', history, bestEpoch, ['loss', 'devLoss']),
    ...renderLearningCurve('Accuracy', history, bestEpoch, ['accuracy', 'devAccuracy']),
  ];
}

/**
 * @param {string} title
 * @param {EpochResult[]} history
 * @param {number} bestEpoch
 * @param {['loss', 'devLoss'] | ['accuracy', 'devAccuracy']} figures of the training texts and of the dev texts
 */
function renderLearningCurve(title, history, bestEpoch, figures) {
  const values = history.flatMap((epoch) => figures.map((figure) => epoch[figure]));
  const lowest = values.reduce((least, value) => Math.min(least, value), Infinity);
  const highest = values.reduce((most, value) => Math.max(most, value), -Infinity);
  const every = Math.ceil(history.length / MAX_EPOCH_TICKS);
  const ticks = history.filter((_, i) => i % every === 0).map(({ epoch }) => ({ at: epoch, text: String(epoch) }));
  const curves = figures.map((figure, i) => ({
    colour: /** @type {const} */ (['amber', 'blue'])[i],
    points: history.map((epoch) => /** @type {[number, number]} */ ([epoch.epoch, epoch[figure]])),
  }));
  const x = { low: 1, high: Math.max(history.length, 2), ticks };
  return [`<h3>${title}</h3>`, renderCurves(title, curves, { x, y: createAxis(lowest, highest), mark: bestEpoch })];
}
