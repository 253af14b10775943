/**
 * An HTTP service as a column of parity: each text is posted as JSON, the answer's label and probabilities are compared.
 *
 *   nox -s parity -- --runner service='node examples/runners/http_service.js http://127.0.0.1:8080/predict'
 */
import { createInterface } from 'node:readline';

const url = process.argv[2];

for await (const line of createInterface(process.stdin)) {
  const { id, text, pair } = JSON.parse(line);
  const body = JSON.stringify(pair === undefined ? { text } : { sentence1: text, sentence2: pair });
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
  const { label, probabilities } = /** @type {any} */ (await response.json());
  console.log(JSON.stringify({ id, label, probabilities }));
}
