/** The server of both sides: POST a text as JSON, get the answer; GET /health answers at once. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';

/** @param {(text: string) => Promise<unknown>} answer @returns {Promise<number>} the port */
export async function listen(answer) {
  const server = createServer(async (request, response) => {
    if (request.method === 'GET') return response.end('ok');
    const { text } = /** @type {{text: string}} */ (await json(request));
    response.end(JSON.stringify(await answer(text)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return /** @type {import('node:net').AddressInfo} */ (server.address()).port;
}
