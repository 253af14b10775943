/** `node node_bridge/verify.js` checks a bundle's golden cases, or a classifier's, on this machine, without Python. */
import { useBackend } from './backends/index.js';
import { Bundle } from './bundle/bundle.js';
import {
  describeCoverage,
  readGoldenCases,
  verifyBundle,
  verifyChecksums,
  verifyGoldenIds,
  verifyTokenizerRules,
} from './bundle/golden_cases.js';
import { Classifier } from './classifier/classifier.js';
import { readClassifier } from './classifier/classifier_files.js';
import { describeDecision, isBundle } from './classifier/decisions/bundle_head.js';
import { verifyClassifier } from './classifier/golden_answers.js';
import { Encoder } from './encoder/encoder.js';
import { backendOption } from './model_options.js';
import { jsonOption, signatureOption } from './shared_options.js';
import { formatBudget } from './support/closeness.js';
import { runCommand } from './support/command_line.js';
import { UserError } from './support/errors.js';
import { textOption, wholeNumberOption } from './support/options.js';
import { printLines, printJson, printMessages } from './support/printing.js';
import { Tokenizer } from './tokenizer/index.js';

/** Checks that compare for equality and measure no distance. */
const EXACT = ['ids', 'labels', 'tokenizer rules', 'checksums'];

const DESCRIPTION = `Checks a bundle: its files by their hashes, then its golden cases, for which it has
the ids and outputs of Python's TensorFlow. A bundle of a tokenizer alone has golden ids only.
With --model it checks a classifier: its files, then its answers at the end of its training.

  node node_bridge/verify.js --bundle artifacts/bundle/albert_tiny
  node node_bridge/verify.js --model artifacts/classifier
`;

const EPILOG = `Exit code: 0 all equal within the bundle's budgets, 1 a difference, 2 a mistake in the input,
3 this machine, 70 a defect of the program (BERT_BRIDGE_DEBUG=1 shows its stack).
`;

const OPTIONS = {
  bundle: textOption({
    value: 'DIR',
    help: 'the bundle; of a classifier: if it is no longer where it was at training',
  }),
  model: textOption({ value: 'DIR', help: 'a classifier that train.js made' }),
  backend: backendOption,
  texts: wholeNumberOption({ help: 'only the first N golden texts, for a slow backend', defaultText: 'all' }),
  requireSignature: signatureOption,
  json: jsonOption,
};

/** @typedef {import('./support/options.js').Values<typeof OPTIONS>} Values */

await runCommand({ description: DESCRIPTION, options: OPTIONS, epilog: EPILOG, main });

/** @param {Values} options */
async function main(options) {
  const { bundle: dir, model, texts: count, requireSignature: trustedKeys } = options;
  if (model !== undefined) return checkClassifier(model, options);
  if (dir === undefined) throw new UserError('Expected --bundle or --model; try --help.');
  const started = performance.now();
  const bundle = Bundle.open(dir, { trustedKeys });
  for (const name of Object.keys(bundle.contract.files)) bundle.check(name);
  if (bundle.contract.contents === 'tokenizer') return checkTokenizerBundle(bundle, count, options.json);
  const golden = readGoldenCases(bundle);
  const tokenizer = Tokenizer.fromBundle(bundle);
  const encoder = await Encoder.load(bundle, { backend: options.backend });
  const loaded = performance.now();
  printMessages(encoder.notice);
  const checks = await verifyBundle(bundle, tokenizer, encoder, count);
  const exact = checkExactParts(bundle, golden, tokenizer);
  const passed = [...checks, ...exact].every((check) => check.passed);
  const { name, classifier } = bundle.contract;
  const result = {
    bundle: name,
    backend: encoder.backend,
    passed,
    ...(classifier ? { decision: describeDecision(classifier) } : {}),
    checks,
    exact,
    coverage: describeCoverage(bundle, golden),
    load_ms: Math.round(loaded - started),
    run_ms: Math.round(performance.now() - loaded),
    peak_rss: process.resourceUsage().maxRSS * 1024,
  };
  if (options.json) await printJson(result);
  else printLines(...formatCheckTable(result));
  return passed ? 0 : 1;
}

/**
 * @param {string} dir of a classifier
 * @param {Values} options
 */
async function checkClassifier(dir, { bundle, backend, requireSignature: trustedKeys, json, texts }) {
  if (texts !== undefined) throw new UserError('--texts is for a bundle; a classifier has a few golden texts only');
  if (isBundle(dir)) throw new UserError(`--model: ${dir} is a bundle; check it with --bundle, its scores are among its outputs`);
  const { name } = await useBackend(backend);
  const classifier = await Classifier.load(dir, { bundle, backend: name, trustedKeys });
  printMessages(classifier.notice);
  const checks = await verifyClassifier(dir, readClassifier(dir), classifier);
  const passed = checks.every((check) => check.passed);
  const result = { bundle: dir, backend: name, passed, checks, exact: [], coverage: '' };
  if (json) await printJson(result);
  else printLines(...formatCheckTable(result, 'the classifier says here what it said when it was trained'));
  return passed ? 0 : 1;
}

/**
 * Checks the rules of the tokenizer and the checksums; a bundle of an older release has neither.
 *
 * @param {Bundle} bundle
 * @param {import('./bundle/golden_cases.js').GoldenCases} golden
 * @param {Tokenizer} tokenizer
 */
function checkExactParts(bundle, golden, tokenizer) {
  return [verifyTokenizerRules(golden, tokenizer), verifyChecksums(bundle, golden)].filter((check) => check !== null);
}

/**
 * Checks a bundle that has only a tokenizer, and so no output to compare.
 *
 * @param {Bundle} bundle its files are checked already
 * @param {number | undefined} count how many texts; undefined: all
 * @param {boolean} json whether to print JSON
 */
async function checkTokenizerBundle(bundle, count, json) {
  const tokenizer = Tokenizer.fromBundle(bundle);
  // Bundles that an older release made have no golden ids.
  const golden = bundle.has('golden.safetensors') ? readGoldenCases(bundle) : undefined;
  const checks = golden === undefined ? [] : [verifyGoldenIds(bundle, tokenizer, count)];
  const exact = golden === undefined ? [] : checkExactParts(bundle, golden, tokenizer);
  const failed = [...checks, ...exact].find((check) => !check.passed);
  const passed = failed === undefined;
  const { name } = bundle.contract;
  const files = Object.keys(bundle.contract.files).length;
  const ids =
    checks.length === 0
      ? 'it has no golden ids, export it again to get them'
      : passed
        ? 'its golden ids are equal'
        : `DRIFT: ${failed.said}`;
  const coverage = golden === undefined ? [] : [describeCoverage(bundle, golden)];
  const result = { bundle: name, backend: null, passed, files, checks, exact };
  if (json) await printJson(result);
  else printLines(`${name}, a tokenizer alone: ${files} files have their hashes, ${ids}`, ...coverage);
  return passed ? 0 : 1;
}

/**
 * @param {{bundle: string, backend: string, passed: boolean, decision?: string, coverage: string, checks: import('./bundle/golden_cases.js').Check[], exact: import('./bundle/golden_cases.js').Check[]}} result
 * @param {string} good the message if all checks passed
 */
function formatCheckTable(
  { bundle, backend, passed, decision, checks, exact: others, coverage: reached },
  good = 'the bundle gives here what Python gave',
) {
  const rows = [...checks, ...others].map(({ name, passed: equal, maxAbs, budget, rtol, said }) => {
    const exact = EXACT.includes(name);
    const distance = exact ? (equal ? 'equal' : 'differ') : (maxAbs?.toPrecision(2) ?? '–');
    const allowed = exact ? 'equal' : formatBudget({ atol: budget, rtol });
    return `${name.padEnd(18)} ${distance.padStart(10)} ${allowed.padStart(26)}  ${equal ? 'ok' : `DRIFT: ${said}`}`;
  });
  const verdict = passed ? good : 'DRIFT: see above';
  const head = `${'output'.padEnd(18)} ${'max |Δ|'.padStart(10)} ${'budget'.padStart(26)}`;
  const title = [`${bundle} on ${backend}`, ...(decision === undefined ? [] : [decision])];
  return [...title, '', head, ...rows, '', ...(reached === '' ? [] : [reached]), verdict];
}
