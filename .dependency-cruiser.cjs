// The import rules of Node's side; `nox -s lint` holds them. A folder may use what stands before it.
const FOLDERS = ['support', 'tokenizer', 'data', 'bundle', 'backends', 'encoder', 'classifier'];
// These three know nothing of each other.
const BASE = ['tokenizer', 'data', 'bundle'];

const folder = (name) => `^node_bridge/${name}/`;
const above = (name) => FOLDERS.slice(FOLDERS.indexOf(name) + 1).filter((other) => !BASE.includes(name) || !BASE.includes(other));
const beside = (name) => (BASE.includes(name) ? BASE.filter((other) => other !== name) : []);

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: 'no-circle', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'node-bridge-stands-alone',
      comment: 'It takes a bundle and text, and knows nothing of Python, of the parity tests or of the benchmarks.',
      severity: 'error',
      from: { path: '^node_bridge/' },
      to: { path: '^(bench|export|fault_injection|launcher|native|parity_tests|tests)/' },
    },
    {
      name: 'commands-are-on-top',
      severity: 'error',
      from: { path: '^node_bridge/[^/]+/' },
      to: { path: '^node_bridge/[^/]+\\.js$' },
    },
    ...FOLDERS.map((name) => ({
      name: `from-${name}-upwards`,
      severity: 'error',
      from: { path: folder(name) },
      to: { path: [...above(name), ...beside(name)].map(folder) },
    })).filter(({ to }) => to.path.length > 0),
    {
      name: 'launcher-needs-no-packages',
      comment: 'bootstrap.js runs it before any package is installed.',
      severity: 'error',
      from: { path: '^(launcher/|bootstrap\\.js$)' },
      to: { dependencyTypes: ['npm', 'npm-dev', 'npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined'] },
    },
    {
      name: 'known-packages',
      comment: 'What package.json does not name is not there when the package is installed.',
      severity: 'error',
      from: { path: '^node_bridge/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined'] },
    },
  ],
  options: {
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['node', 'import', 'default'] },
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(artifacts|types)/' },
  },
};
