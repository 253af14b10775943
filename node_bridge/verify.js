/** `node node_bridge/verify.js`: a bundle's own golden cases, on this machine, without Python. */
import { BACKEND_NAMES } from './backends/index.js';
import { Bundle } from './bundle.js';
import { oneOf, run, wholeNumber } from './cli.js';
import { allowance } from './closeness.js';
import { Encoder } from './encoder.js';
import { UserError } from './errors.js';
import { print, printJson, say } from './printing.js';
import { Tokenizer } from './tokenizer/index.js';
import { goldenCases, verify, verifyIds } from './verification.js';

const HELP = `Checks a bundle: its files by their hashes, then its golden cases, for which it holds
the ids and outputs of Python's TensorFlow. A bundle of a tokenizer alone has golden ids only.

  node node_bridge/verify.js --bundle artifacts/bundle/albert_tiny

  --bundle DIR     the bundle
  --backend NAME   auto (default), native, wasm or cpu
  --texts N        only the first N golden texts, for a slow backend; default: all
  --json           print the result as JSON
  -h, --help

Exit code: 0 all equal within the bundle's budgets, 1 a difference, 2 a mistake in what was given,
3 this machine, 70 a defect of the program (BERT_BRIDGE_DEBUG=1 shows its stack).
`;

await run({
  help: HELP,
  options: {
    bundle: { type: 'string' },
    backend: { type: 'string', default: 'auto' },
    texts: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
  main,
});

/** @param {Record<string, any>} options */
async function main(options) {
  if (options.bundle === undefined) throw new UserError('Expected --bundle; try --help.');
  const count = options.texts === undefined ? undefined : wholeNumber('--texts', options.texts, 1, 1e6);
  oneOf('--backend', options.backend, BACKEND_NAMES);
  const started = performance.now();
  const bundle = Bundle.open(options.bundle);
  for (const name of Object.keys(bundle.contract.files)) bundle.check(name);
  if (bundle.contract.architecture === null) return tokenizerAlone(bundle, count, options.json);
  goldenCases(bundle);
  const tokenizer = Tokenizer.fromBundle(bundle);
  const encoder = await Encoder.load(bundle, { backend: options.backend });
  const loaded = performance.now();
  say(encoder.notice);
  const checks = await verify(bundle, tokenizer, encoder, count);
  const passed = checks.every((check) => check.passed);
  const result = {
    bundle: bundle.contract.name,
    backend: encoder.backend,
    passed,
    checks,
    load_ms: Math.round(loaded - started),
    run_ms: Math.round(performance.now() - loaded),
    peak_rss: process.resourceUsage().maxRSS * 1024,
  };
  if (options.json) await printJson(result);
  else print(...table(result));
  return passed ? 0 : 1;
}

/**
 * Of a tokenizer alone there is no output to compare.
 *
 * @param {Bundle} bundle whose files have been checked
 * @param {number | undefined} count
 * @param {boolean} json
 */
async function tokenizerAlone(bundle, count, json) {
  const tokenizer = Tokenizer.fromBundle(bundle);
  // Bundles that an older release made have no golden ids.
  const checks = bundle.has('golden.safetensors') ? [verifyIds(bundle, tokenizer, count)] : [];
  const passed = checks.every((check) => check.passed);
  const { name } = bundle.contract;
  const files = Object.keys(bundle.contract.files).length;
  const ids = checks.length === 0 ? 'it has no golden ids, export it again to get them' : passed ? 'its golden ids are equal' : `DRIFT: ${checks[0].said}`;
  const result = { bundle: name, backend: null, passed, files, checks };
  if (json) await printJson(result);
  else print(`${name}, a tokenizer alone: ${files} files have their hashes, ${ids}`);
  return passed ? 0 : 1;
}

/** @param {{bundle: string, backend: string, passed: boolean, checks: import('./verification.js').Check[]}} result */
function table({ bundle, backend, passed, checks }) {
  const rows = checks.map(({ name, passed: good, maxAbs, budget, rtol, said }) => {
    const distance = name === 'ids' ? (good ? 'equal' : 'differ') : (maxAbs?.toPrecision(2) ?? '–');
    const allowed = name === 'ids' ? 'equal' : allowance({ atol: budget, rtol });
    return `${name.padEnd(18)} ${distance.padStart(10)} ${allowed.padStart(26)}  ${good ? 'ok' : `DRIFT: ${said}`}`;
  });
  const verdict = passed ? 'the bundle gives here what Python gave' : 'DRIFT: see above';
  const head = `${'output'.padEnd(18)} ${'max |Δ|'.padStart(10)} ${'budget'.padStart(26)}`;
  return [`${bundle} on ${backend}`, '', head, ...rows, '', verdict];
}
