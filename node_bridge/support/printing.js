/**
 * Writes to the terminal. Every line is cleaned here, and JSON is escaped so that it stays the same
 * JSON; printable.js does both. No other file of node_bridge writes to stdout or stderr
 * (tests/node/printing.test.js checks this).
 */
import { once } from 'node:events';

import { asTyped } from './command_names.js';
import { toJsonLine, toPrintableLine } from './printable.js';

/** Prints messages on stderr, with commands as the person types them; empty lines are left out. @param {...string} lines */
export function printMessages(...lines) {
  for (const line of lines) if (line !== '') process.stderr.write(`${toPrintableLine(asTyped(line))}\n`);
}

/** Prints results on stdout. @param {...string} lines without line ends */
export function printLines(...lines) {
  process.stdout.write(lines.map((line) => `${toPrintableLine(line)}\n`).join(''));
}

/** Prints results as JSON lines on stdout; waits if their reader is slower. @param {...unknown} values */
export async function printJson(...values) {
  if (!process.stdout.write(values.map((value) => `${toJsonLine(value)}\n`).join(''))) await once(process.stdout, 'drain');
}
