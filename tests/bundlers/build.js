/** Bundles program.js into out/ in every way that run.js compares; runs where the bundlers are installed. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import webpack from 'webpack';

const here = dirname(fileURLToPath(import.meta.url));
const entry = join(here, 'program.js');
const out = join(here, 'out');

for (const isModule of [false, true]) {
  await bundleByWebpack({
    mode: 'production',
    target: 'node20',
    context: here,
    entry,
    experiments: { outputModule: isModule },
    output: {
      path: out,
      filename: isModule ? 'webpack.mjs' : 'webpack.cjs',
      library: { type: isModule ? 'module' : 'commonjs2' },
      chunkFormat: isModule ? 'module' : 'commonjs',
    },
  });
}

await build({
  root: here,
  logLevel: 'warn',
  build: { ssr: entry, outDir: join(out, 'vite'), emptyOutDir: true },
  // Everything in one program: by default vite leaves packages where they are.
  ssr: { noExternal: true },
});

/** @param {import('webpack').Configuration} configuration @returns {Promise<void>} */
function bundleByWebpack(configuration) {
  return new Promise((done, failed) => {
    webpack(configuration, (error, stats) => {
      if (error) failed(error);
      else if (stats?.hasErrors() || stats?.hasWarnings()) failed(new Error(stats.toString('errors-warnings')));
      else done();
    });
  });
}
