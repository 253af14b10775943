/** The options of the commands that run a model. */
import { BACKEND_NAMES, DEFAULT_BACKEND } from './backends/index.js';
import { DEFAULT_WORKERS, MAX_WORKERS } from './encoder/encoder_pool.js';
import { choiceOption, wholeNumberOption } from './support/options.js';

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
  default: DEFAULT_WORKERS,
});
