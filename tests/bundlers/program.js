/** What a product does: run.js bundles it in each way, and compares what it prints. */
import { Classifier } from 'bert-bridge';
import { Bundle, Tokenizer } from 'bert-bridge/tokenizer';

const [bundle, dir, ...texts] = process.argv.slice(2);

async function main() {
  const tokenizer = Tokenizer.fromBundle(Bundle.open(bundle));
  console.log(JSON.stringify(texts.map((text) => [...tokenizer.encode(text).ids])));
  for (const workers of [1, 2]) {
    const classifier = await Classifier.load(dir, { bundle, backend: 'wasm', workers });
    console.log(JSON.stringify(await classifier.predict(texts)));
    await classifier.dispose();
  }
}

main();
