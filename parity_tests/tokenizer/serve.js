/**
 * The Node side of the exhaustive tokenizer test: answers frames on stdin until it closes.
 *
 * A frame is two blocks, each with its length before it (uint32, little-endian): a JSON header,
 * and bytes. `load` creates a tokenizer; `encode` takes texts (uint32[count] lengths in bytes, then
 * their UTF-8) and returns ids (uint32[count] lengths of rows, then int32 ids); `pairs` takes all first
 * texts, then all second ones, and returns the same with all types after the ids; `symbols` returns the
 * symbols of a code point; `details` returns ids, types, tokens and offsets of one text. Python's
 * counterpart is sides.py.
 */
import { readFileSync, writeSync } from 'node:fs';

import { Tokenizer } from '../../node_bridge/tokenizer/index.js';
import { CharacterTables } from '../../node_bridge/tokenizer/tables.js';
import { NO_LIMIT } from '../../node_bridge/tokenizer/truncate.js';

/** @type {Tokenizer | undefined} */
let tokenizer;
/** @type {CharacterTables | undefined} */
let tables;

for await (const [header, bytes] of readFrames(process.stdin)) {
  const request = JSON.parse(header.toString('utf8'));
  try {
    respond({}, answer(request, bytes));
  } catch (error) {
    respond({ error: /** @type {Error} */ (error).message }, Buffer.alloc(0));
  }
}

/**
 * @param {Record<string, any>} request
 * @param {Buffer} bytes
 * @returns {Buffer}
 */
function answer(request, bytes) {
  if (request.op === 'load') {
    const tablesBytes = readFileSync(request.tables);
    tables = new CharacterTables(tablesBytes);
    tokenizer = new Tokenizer({ vocabBytes: bytes, tablesBytes, contract: request.contract });
    return Buffer.alloc(0);
  }
  if (tokenizer === undefined || tables === undefined) throw new Error('nothing is loaded');
  if (request.op === 'symbols') {
    return Buffer.from(JSON.stringify(tables.symbols(request.code_point)));
  }
  if (request.op === 'details') {
    const { ids, typeIds, tokens, offsets } = tokenizer.encodeWithTokens(request.text, request.options);
    const details = { ids: Array.from(ids), typeIds: Array.from(typeIds), tokens, offsets };
    return Buffer.from(JSON.stringify(details));
  }
  return encodeTexts(tokenizer, request, bytes);
}

/**
 * @param {Buffer} bytes uint32[count] lengths, then texts in UTF-8
 * @param {number} count
 */
function readTexts(bytes, count) {
  let at = count * 4;
  return Array.from({ length: count }, (_, i) => {
    const start = at;
    at += bytes.readUInt32LE(i * 4);
    return bytes.toString('utf8', start, at);
  });
}

/** @param {Int32Array[]} rows */
function toBuffers(rows) {
  return rows.map((row) => Buffer.from(row.buffer, row.byteOffset, row.byteLength));
}

/**
 * Answers `encode` and `pairs`.
 *
 * @param {Tokenizer} tokenizer
 * @param {Record<string, any>} request
 * @param {Buffer} bytes
 */
function encodeTexts(tokenizer, { op, count, ...options }, bytes) {
  const settings = { specialTokens: false, maxLength: NO_LIMIT, ...options };
  const texts = readTexts(bytes, op === 'pairs' ? 2 * count : count);
  const encodings = texts.slice(0, count).map((text, i) => tokenizer.encode(text, { ...settings, pair: texts[count + i] }));
  const lengths = Int32Array.from(encodings, ({ ids }) => ids.length);
  const types = op === 'pairs' ? encodings.map(({ typeIds }) => typeIds) : [];
  return Buffer.concat(toBuffers([lengths, ...encodings.map(({ ids }) => ids), ...types]));
}

/**
 * @param {object} header
 * @param {Buffer} bytes
 */
function respond(header, bytes) {
  const text = Buffer.from(JSON.stringify(header));
  const parts = [uint32(text.length), text, uint32(bytes.length), bytes];
  const whole = Buffer.concat(parts);
  for (let at = 0; at < whole.length; ) at += writeSync(1, whole, at);
}

/** @param {number} value */
function uint32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/**
 * @param {AsyncIterable<Buffer>} source
 * @returns {AsyncGenerator<[Buffer, Buffer]>}
 */
async function* readFrames(source) {
  /** @type {Buffer[]} */
  let parts = [];
  let received = 0;
  let needed = 4;
  /** @type {Buffer | undefined} */
  let header;
  let sized = false;
  for await (const chunk of source) {
    parts.push(chunk);
    received += chunk.length;
    while (received >= needed) {
      const whole = Buffer.concat(parts);
      const block = whole.subarray(0, needed);
      const rest = whole.subarray(needed);
      parts = rest.length > 0 ? [rest] : [];
      received = rest.length;
      if (!sized) {
        needed = block.readUInt32LE(0);
        sized = true;
        continue;
      }
      needed = 4;
      sized = false;
      if (header === undefined) header = block;
      else {
        yield [header, block];
        header = undefined;
      }
    }
  }
}
