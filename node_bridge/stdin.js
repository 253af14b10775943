/** Texts on stdin: a line each, or with --jsonl an object each. */
import { textOf } from './data.js';
import { lines } from './lines.js';
import { parseObject } from './rows.js';

/**
 * @param {boolean} jsonl lines are objects with `text`, or `sentence1` and `sentence2`
 * @returns {AsyncGenerator<import('./data.js').Text>}
 * @throws {import('./errors.js').UserError} a broken line, by number
 */
export async function* textsOfStdin(jsonl) {
  if (process.stdin.isTTY) process.stderr.write('Type a text a line; end with Ctrl-D.\n');
  let line = 0;
  for await (const content of lines(process.stdin, 'stdin')) {
    line += 1;
    const where = `stdin:${line}`;
    yield jsonl ? textOf(parseObject(content, where), where) : { text: content };
  }
}
