/** `node tests/hostile/vet_saved_model.js --directory DIR` vets a SavedModel in Node, without the native library. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

import { vet } from '../../node_bridge/bundle/saved_model/vetting.js';
import { runCommand } from '../../node_bridge/support/command_line.js';
import { requiredOption } from '../../node_bridge/support/options.js';

await runCommand({
  description: 'Vets a SavedModel.',
  options: { directory: requiredOption({ value: 'DIR', help: 'has saved_model.pb' }) },
  main: async ({ directory }) => {
    const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
    const files = entries
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => relative(directory, join(parentPath, name)));
    vet(readFileSync(join(directory, 'saved_model.pb')), files, directory);
  },
});
