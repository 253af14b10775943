/** The options of the commands that run a model. */
import { BACKEND_NAMES, DEFAULT_BACKEND } from './backends/index.js';
import { MAX_WORKERS } from './encoder/encoder_pool.js';
import { choiceOption, wholeNumberOption } from './support/options.js';
import { DEFAULT_WINDOW_POOLING, LONG_CHOICES, WINDOW_POOLINGS } from './tokenizer/long_rule.js';

export const backendOption = choiceOption({ names: BACKEND_NAMES, default: DEFAULT_BACKEND });

/** How many encoders run at the same time; by default one for each core. */
export const workersOption = wholeNumberOption({
  help: 'encoders at a time on wasm and cpu, each with the model in memory',
  most: MAX_WORKERS,
  defaultText: 'one a core',
});

/** The same for a command that often gets few texts. */
export const fewWorkersOption = wholeNumberOption({
  help: 'encoders at a time on wasm and cpu, each with the model in memory; for many texts one a core is fastest, with the same results',
  most: MAX_WORKERS,
  default: 1,
});

/**
 * How a text is read that is longer than the positions it may take. They have no default here, so that a command
 * knows whether they were typed.
 *
 * @param {string} [note] for which classifiers they are
 */
export function createLongOptions(note = '') {
  return {
    long: choiceOption({
      help: `what is read of a text that is longer than its positions${note}`,
      names: /** @type {(keyof typeof LONG_CHOICES)[]} */ (Object.keys(LONG_CHOICES)),
      meanings: LONG_CHOICES,
      defaultText: 'cut',
    }),
    stride: wholeNumberOption({
      help: 'of --long windows: tokens from the start of a window to the start of the next',
      defaultText: 'half a window',
    }),
    windowPooling: choiceOption({
      help: 'of --long windows: what becomes of each number of the windows of a text',
      names: WINDOW_POOLINGS,
      defaultText: DEFAULT_WINDOW_POOLING,
    }),
  };
}

/** The same for a command that takes a finished classifier. */
export const longOptionsOfBundles = createLongOptions(
  ', by a bundle that decides by itself; a classifier of train.js reads texts as in training',
);
