/**
 * A program of someone who installed the package: every name it needs comes from `bert-bridge`.
 * package.test.js compiles it strictly, runs it, and compares what it prints.
 */
import { Bundle, CheckFailed, Classifier, Encoder, EnvironmentProblem, TokenClassifier, Tokenizer, UserError } from 'bert-bridge';
import type { Broken, DetailedEncoding, Encoding, GivenText, Prediction, Ranked } from 'bert-bridge';
import type { MultiLabelPrediction, RegressionPrediction, Span, TokenLabel, TokenPrediction } from 'bert-bridge';

const [bundleDir, classifierDir, ...texts] = process.argv.slice(2);

const bundle: Bundle = Bundle.open(bundleDir);
const tokenizer: Tokenizer = Tokenizer.fromBundle(bundle);
const encodings: Encoding[] = texts.map((text) => tokenizer.encode(text));
const { tokens, offsets }: DetailedEncoding = tokenizer.encodeWithTokens(texts[1], { maxLength: 4 });

const encoder: Encoder = await Encoder.load(bundleDir, { backend: 'wasm' });
const vectors: Float32Array[] = await encoder.encode(texts);
const means: Float32Array[] = await encoder.encode(texts, { pooling: 'mean', normalize: true, maxLength: 16 });
const whole: Float32Array[] = await encoder.encode(texts, { long: 'windows', stride: 6, windowPooling: 'max', maxLength: 16 });
const outputs = await encoder.run(encodings);
const shapes: Record<string, number[]> = Object.fromEntries(Object.entries(outputs).map(([name, { shape }]) => [name, shape]));

const classifier: Classifier = await Classifier.load(classifierDir, { bundle: bundleDir, backend: 'wasm' });
const one: Prediction = await classifier.predict(texts[0]);
const many: Prediction[] = await classifier.predict(texts, { top: 1 });
const ranked: Ranked[] | undefined = many[0].top;

async function* conversation(): AsyncGenerator<GivenText> {
  for (const text of texts) yield { text };
}
const streamed: (string | undefined)[] = [];
for await (const { text, label } of classifier.stream(conversation())) streamed.push(text, label);

const { longer, incomplete } = classifier.lengths;

const broken: Broken[] = [];
for await (const answer of classifier.stream([texts[0], new Error('torn')], { keepBroken: true })) {
  if ('error' in answer) broken.push(answer);
}

const mistakes: boolean[] = [];
try {
  Bundle.open('nowhere');
} catch (error) {
  mistakes.push(error instanceof UserError && error.exitCode === 2);
  mistakes.push(error instanceof CheckFailed || error instanceof EnvironmentProblem);
}

/** With bundles that decide by themselves; compiled, not run. */
export async function decide(): Promise<void> {
  const topics = await Classifier.load<MultiLabelPrediction>(bundleDir);
  const labels: string[] = (await topics.predict('')).labels;
  const prices = await Classifier.load<RegressionPrediction>(bundleDir);
  const values: Record<string, number>[] = (await prices.predict(['', ''])).map((prediction) => prediction.values);
  const entities: TokenClassifier = await TokenClassifier.load(bundleDir, { workers: 2, long: 'windows' });
  const found: TokenPrediction = await entities.predict({ text: '' });
  const spans: Span[] = found.spans;
  for await (const prediction of entities.stream([''])) {
    const parts: TokenLabel[] = prediction.tokens;
    console.log(labels, values, spans, parts);
  }
  // @ts-expect-error: tokens between head and tail would have no label
  void TokenClassifier.load(bundleDir, { long: 'head-tail' });
  // @ts-expect-error: a pair has no spans
  void entities.predict({ sentence1: '', sentence2: '' });
  // @ts-expect-error: several labels have no single one
  void (await topics.predict('')).label;
}

export function refused() {
  // @ts-expect-error: one text gives one prediction, no array
  const array: Promise<Prediction[]> = classifier.predict('');
  // @ts-expect-error: a number is no text
  void classifier.predict(7);
  // @ts-expect-error: a pair has two sentences
  void encoder.encode([{ sentence1: '' }]);
  // @ts-expect-error: there is no such pooling
  void encoder.encode([''], { pooling: 'max' });
  // @ts-expect-error: without keepBroken an Error is no text
  void classifier.stream([new Error('torn')]);
  return array;
}

classifier.dispose();
encoder.dispose();
console.log(
  JSON.stringify({
    ids: encodings.map(({ ids }) => Array.from(ids)),
    tokens,
    offsets,
    vectors: vectors.map((vector) => Array.from(vector)),
    norms: means.map((vector) => Math.hypot(...vector)),
    whole: whole.map((vector) => vector.length),
    lengths: [longer, incomplete],
    shapes,
    one,
    many,
    ranked,
    streamed,
    broken: broken.map(({ error }) => error.message),
    mistakes,
  }),
);
