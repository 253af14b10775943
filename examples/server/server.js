/**
 * A small HTTP service that labels texts. It needs only Node and the package bert-bridge.
 *
 *   node examples/server/server.js artifacts/classifier
 *   curl localhost:8080/predict -d '{"text": "这本书很好"}'
 *
 * POST /predict takes {"text": …} or {"sentence1": …, "sentence2": …}, or {"texts": [ … ]} with up to 64 of these,
 * and perhaps "top". GET /health says whether it can answer, GET /metrics gives numbers for Prometheus.
 * Environment: PORT (8080; 0 takes a free one), HOST (127.0.0.1), WORKERS (threads with the model, 1).
 */
import { createServer } from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';

import { Classifier, QueueFull, UserError } from 'bert-bridge';

const MAX_BODY_BYTES = 1 << 20;
const MAX_TEXTS = 64;
/** Upper ends of the histogram's classes, in seconds. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const { PORT = '8080', HOST = '127.0.0.1', WORKERS = '1' } = process.env;
const classifier = await Classifier.load(process.argv[2] ?? 'artifacts/classifier', { workers: Number(WORKERS) });
const loopDelay = monitorEventLoopDelay();
loopDelay.enable();
/** @type {Map<number, number>} */
const answersByStatus = new Map();
const seconds = { sum: 0, count: 0, buckets: BUCKETS.map(() => 0) };
let running = 0;
let isClosing = false;

/** An error whose message the client may see. */
class RequestError extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @param {import('node:http').IncomingMessage} request @returns {Promise<any>} */
async function readJson(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new RequestError(413, `the body has more than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)));
  } catch {
    throw new RequestError(400, 'the body is no JSON in UTF-8');
  }
}

/** @param {any} body @param {AbortSignal} signal aborted when the client is gone */
async function predict(body, signal) {
  if (typeof body !== 'object' || body === null) throw new RequestError(400, 'expected a JSON object');
  const { texts, top, ...text } = body;
  if (texts === undefined) return classifier.predict(text, { top, signal });
  if (!Array.isArray(texts) || texts.length > MAX_TEXTS) {
    throw new RequestError(400, `expected \`texts\` to be an array of at most ${MAX_TEXTS}`);
  }
  return classifier.predict(texts, { top, signal });
}

/** @param {unknown} error @returns {number} */
function statusOf(error) {
  if (error instanceof RequestError) return error.status;
  if (error instanceof QueueFull) return 503;
  return error instanceof UserError ? 400 : 500;
}

function formatMetrics() {
  const lines = ['# TYPE http_requests_total counter'];
  for (const [status, count] of answersByStatus) lines.push(`http_requests_total{status="${status}"} ${count}`);
  lines.push('# TYPE predict_seconds histogram');
  BUCKETS.forEach((end, at) => lines.push(`predict_seconds_bucket{le="${end}"} ${seconds.buckets[at]}`));
  lines.push(`predict_seconds_bucket{le="+Inf"} ${seconds.count}`);
  lines.push(`predict_seconds_sum ${seconds.sum}`, `predict_seconds_count ${seconds.count}`);
  lines.push('# TYPE predict_running gauge', `predict_running ${running}`);
  lines.push('# TYPE event_loop_delay_p99_seconds gauge', `event_loop_delay_p99_seconds ${loopDelay.percentile(99) / 1e9}`);
  lines.push('# TYPE process_resident_memory_bytes gauge', `process_resident_memory_bytes ${process.memoryUsage.rss()}`);
  return `${lines.join('\n')}\n`;
}

/** @param {number} took in seconds */
function observe(took) {
  seconds.sum += took;
  seconds.count += 1;
  BUCKETS.forEach((end, at) => {
    if (took <= end) seconds.buckets[at] += 1;
  });
}

const server = createServer(async (request, response) => {
  /** @param {number} status @param {string | object} content */
  const send = (status, content) => {
    answersByStatus.set(status, (answersByStatus.get(status) ?? 0) + 1);
    const isText = typeof content === 'string';
    response.writeHead(status, {
      'content-type': isText ? 'text/plain; version=0.0.4' : 'application/json',
      ...(status === 503 ? { 'retry-after': '1' } : {}),
      ...(isClosing || status === 413 ? { connection: 'close' } : {}),
    });
    response.end(isText ? content : `${JSON.stringify(content)}\n`);
  };
  const route = `${request.method} ${request.url?.split('?')[0]}`;
  if (route === 'GET /health') return send(isClosing ? 503 : 200, { status: isClosing ? 'closing' : 'ok' });
  if (route === 'GET /metrics') return send(200, formatMetrics());
  if (route !== 'POST /predict') return send(404, { error: 'expected POST /predict, GET /health or GET /metrics' });
  const started = performance.now();
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  running += 1;
  try {
    send(200, await predict(await readJson(request), gone.signal));
  } catch (error) {
    if (gone.signal.aborted) return;
    const status = statusOf(error);
    if (status === 500) console.error(error);
    send(status, { error: status === 500 ? 'internal error' : /** @type {Error} */ (error).message });
  } finally {
    running -= 1;
    observe((performance.now() - started) / 1000);
  }
});

/** Answers what has begun, then frees the model. */
function close() {
  if (isClosing) return;
  isClosing = true;
  server.close(async () => {
    await classifier.dispose();
    console.error('closed');
  });
  server.closeIdleConnections();
}
process.on('SIGTERM', close);
process.on('SIGINT', close);

server.listen(Number(PORT), HOST, () => {
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  console.error(`${classifier.labels.length} labels; listening on http://${HOST}:${port}`);
});
