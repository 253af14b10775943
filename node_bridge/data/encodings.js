/**
 * Decodes text, and detects a wrong encoding from the bytes. Chinese data sets are in UTF-8 or GB18030
 * (which includes GBK), rarely in UTF-16 or Big5. A library that guesses encodings would decide; here
 * the user decides, and the guess is only the remedy in an error.
 */
import { isAscii, isUtf8 } from 'node:buffer';
import { TextDecoder } from 'node:util';

import { UserError } from '../support/errors.js';

/** The names that --encoding takes, and TextDecoder's name for each. */
const KNOWN = new Map([
  ['utf-8', 'utf-8'],
  ['gb18030', 'gb18030'],
  ['gbk', 'gb18030'],
  ['big5', 'big5'],
  ['utf-16', 'utf-16'],
  ['utf-16le', 'utf-16le'],
  ['utf-16be', 'utf-16be'],
]);
export const ENCODING_NAMES = [...KNOWN.keys()];
/** What texts are in unless --encoding says otherwise. */
export const DEFAULT_ENCODING = 'utf-8';
const OTHER_NAMES = new Map([
  ['utf8', 'utf-8'],
  ['gb2312', 'gb18030'],
  ['cp936', 'gb18030'],
  ['utf16', 'utf-16'],
]);

/** Whether two bytes are a common Chinese character or punctuation mark. */
const IS_USUAL = {
  gb18030: (/** @type {number} */ first, /** @type {number} */ second) =>
    second >= 0xa1 && (first === 0xa1 || first === 0xa3 || (first >= 0xb0 && first <= 0xd7)),
  big5: (/** @type {number} */ first, /** @type {number} */ second) =>
    (second >= 0xa1 || (second >= 0x40 && second <= 0x7e)) && first >= 0xa1 && first <= 0xc6,
};
const LEGACY = /** @type {const} */ (['gb18030', 'big5']);
/** 99.6 % of the 5,000 embedded reviews in GBK reach it; in UTF-8, cut anywhere, the highest share is 0.6. */
const USUAL_SHARE = 0.75;
/** Only UTF-16 has more zero bytes than this: each line end alone gives one. */
const ZERO_SHARE = 0.01;
/** Files that are often mistaken for text files, by their first bytes. */
const BINARY_FORMATS = [
  { start: 'PK\x03\x04', what: 'an Excel workbook or another zip archive', remedy: 'save it as CSV in UTF-8' },
  { start: '\x1f\x8b', what: 'compressed by gzip', remedy: 'unpack it' },
  { start: 'PAR1', what: 'Parquet', remedy: 'write it as JSON lines' },
];
const LINE_END = 10;

/**
 * @param {string} typed as the user typed it
 * @returns {string} the name that the functions here take
 * @throws {UserError} the encoding is not known
 */
export function parseEncoding(typed) {
  const name = typed.toLowerCase();
  const found = KNOWN.get(name) ?? OTHER_NAMES.get(name);
  if (found !== undefined) return found;
  throw new UserError(`Expected --encoding to be one of ${ENCODING_NAMES.join(', ')}, got \`${typed}\``);
}

/** Whether lines can be split before they are decoded. @param {string} encoding */
export function hasByteLines(encoding) {
  return !encoding.startsWith('utf-16');
}

/** @type {Map<string, TextDecoder>} */
const decoders = new Map();

/**
 * Decodes one line, or any other part that does not end inside a character.
 *
 * @param {Buffer} bytes
 * @param {string} encoding
 * @returns {string}
 * @throws {UserError} the bytes are invalid; they never become U+FFFD
 */
export function decodeBytes(bytes, encoding) {
  if (encoding === 'utf-8') {
    if (isUtf8(bytes)) return bytes.toString('utf8');
    throw new UserError('invalid UTF-8; convert the file to UTF-8, or name its encoding with --encoding');
  }
  const decoder = decoders.get(encoding) ?? new TextDecoder(encoding, { fatal: true, ignoreBOM: true });
  decoders.set(encoding, decoder);
  try {
    return decoder.decode(bytes);
  } catch {
    throw new UserError(`invalid ${encoding}; is --encoding right?`);
  }
}

/**
 * Decodes a stream. The strings may end anywhere.
 *
 * @param {AsyncIterable<Uint8Array>} source
 * @param {string} name what an error calls the source
 * @param {string} encoding of the source
 * @param {boolean} [isFatal] whether invalid bytes are an error (default) or become U+FFFD
 * @returns {AsyncGenerator<string>} without byte order mark
 * @throws {UserError} the bytes are invalid
 */
export async function* decodeChunks(source, name, encoding, isFatal = true) {
  /** @type {TextDecoder | undefined} */
  let decoder;
  let offset = 0;
  const decode = (/** @type {Uint8Array} */ chunk, /** @type {boolean} */ stream) => {
    try {
      return decoder?.decode(chunk, { stream }) ?? '';
    } catch {
      throw new UserError(`${name}: invalid ${encoding} at byte ${offset} or soon after it; is --encoding right?`);
    }
  };
  for await (const chunk of source) {
    decoder ??= new TextDecoder(encoding === 'utf-16' ? detectByteOrder(chunk) : encoding, { fatal: isFatal });
    yield decode(chunk, true);
    offset += chunk.length;
  }
  yield decode(new Uint8Array(0), false);
}

/** Without a byte order mark UTF-16 is little-endian, the usual order. @param {Uint8Array} start */
function detectByteOrder(start) {
  return start[0] === 0xfe && start[1] === 0xff ? 'utf-16be' : 'utf-16le';
}

/**
 * Passes a stream on, and throws if its bytes show that all of it is in another encoding. So a file in
 * GBK is one error with its remedy, and not a thousand broken lines. A single broken line in a stream
 * of UTF-8 is no error here.
 *
 * @param {AsyncIterable<Uint8Array>} source
 * @param {string} name what an error calls the source
 * @param {string} encoding that the user named
 * @returns {AsyncGenerator<Uint8Array>}
 * @throws {UserError} it is another encoding; names the option that fixes it
 */
export async function* checkEncoding(source, name, encoding) {
  let isFirst = true;
  let isDecided = false;
  for await (const chunk of source) {
    if (isFirst) assertText(chunk, name, encoding);
    isFirst = false;
    if (!isDecided) isDecided = !hasByteLines(encoding) || isInEncoding(chunk, name, encoding);
    yield chunk;
  }
}

/** Checks that the data is text, and that it is UTF-16 only if the encoding says so. @param {Uint8Array} start @param {string} name @param {string} encoding */
function assertText(start, name, encoding) {
  const head = Buffer.from(start.subarray(0, 4)).toString('latin1');
  const other = BINARY_FORMATS.find((kind) => head.startsWith(kind.start));
  if (other !== undefined) throw new UserError(`${name} is ${other.what}, not text; ${other.remedy}`);
  const mark = (start[0] === 0xff && start[1] === 0xfe) || (start[0] === 0xfe && start[1] === 0xff);
  if (hasByteLines(encoding)) {
    if (mark) throw new UserError(`${name} begins with the byte order mark of UTF-16; add --encoding utf-16`);
    const zeros = [0, 1].map((parity) => start.filter((byte, i) => byte === 0 && i % 2 === parity).length);
    if (Math.max(...zeros) > ZERO_SHARE * start.length) {
      throw new UserError(
        `${name} has zero bytes as UTF-16 has them; add --encoding ${zeros[1] > zeros[0] ? 'utf-16le' : 'utf-16be'}`,
      );
    }
  } else if (!mark && start.length > 3 && isUtf8(start) && !start.includes(0)) {
    throw new UserError(`${name} is UTF-8, not ${encoding}; leave --encoding away`);
  }
}

/**
 * @param {Uint8Array} chunk
 * @param {string} name
 * @param {string} encoding
 * @returns {boolean} true if the chunk is in this encoding; false if the chunk does not show it
 * @throws {UserError} the chunk is in another encoding
 */
function isInEncoding(chunk, name, encoding) {
  const parts = splitWholeLines(chunk).filter((line) => !isAscii(line));
  if (parts.length === 0) return false;
  const kinds = parts.map(guessEncoding);
  const commonest = /** @type {const} */ (['utf-8', 'gb18030', 'big5']).find(
    (kind) => 2 * kinds.filter((each) => each === kind).length > kinds.length,
  );
  if (encoding === commonest) return true;
  if (encoding === 'utf-8' && commonest !== undefined) {
    const example = decodeBytes(parts[kinds.indexOf(commonest)], commonest).trim().slice(0, 20);
    const called = commonest === 'gb18030' ? 'GB18030 (GBK)' : 'Big5';
    throw new UserError(`${name} is not UTF-8 but ${called}, it reads “${example}”; add --encoding ${commonest}`);
  }
  if (commonest === 'utf-8') throw new UserError(`${name} is UTF-8, not ${encoding}; leave --encoding away`);
  return false;
}

/** The complete lines of a chunk; the whole chunk if there is none. @param {Uint8Array} chunk @returns {Buffer[]} */
function splitWholeLines(chunk) {
  const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const lines = [];
  let start = 0;
  for (let end = bytes.indexOf(LINE_END); end !== -1; end = bytes.indexOf(LINE_END, start)) {
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return lines.length > 0 ? lines : [bytes];
}

/** Guesses the encoding of a line of Chinese. @param {Buffer} line not all ASCII */
function guessEncoding(line) {
  // Two characters of GBK are often valid UTF-8 too, but of other scripts: `模式` is `ģʽ`.
  if (isUtf8(line)) return /\p{Script=Han}|[\u3000-\u303f\uff00-\uffef]/u.test(line.toString('utf8')) ? 'utf-8' : 'unknown';
  const shares = LEGACY.map((kind) => (isValidIn(line, kind) ? usualShare(line, IS_USUAL[kind]) : 0));
  const most = Math.max(...shares);
  return most >= USUAL_SHARE ? LEGACY[shares.indexOf(most)] : 'unknown';
}

/** @param {Buffer} line @param {string} encoding */
function isValidIn(line, encoding) {
  try {
    return decodeBytes(line, encoding) !== undefined;
  } catch {
    return false;
  }
}

/** The share of common characters among the two-byte characters. @param {Buffer} line @param {(first: number, second: number) => boolean} isUsual */
function usualShare(line, isUsual) {
  let [usual, all] = [0, 0];
  for (let i = 0; i < line.length; i += 1) {
    if (line[i] < 0x80) continue;
    all += 1;
    usual += Number(isUsual(line[i], line[i + 1]));
    i += 1;
  }
  return usual / all;
}
