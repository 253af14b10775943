/**
 * The tokenizer of a bundle. For every text it gives the same ids as its Python reference.
 *
 * It is plain JavaScript without native parts and without Unicode tables of its own, so it runs in a
 * browser and in any version of Node.
 */
import { UserError } from '../support/errors.js';
import { assertOptions } from '../support/option_names.js';
import { Scanner } from './scanner.js';
import { lowerAscii, splitAtSpecialTokens } from './special.js';
import { CharacterTables } from './tables.js';
import { assertMaxLength, cutPair } from './truncate.js';
import { parseVocab, Trie } from './vocab.js';

/**
 * @typedef {import('../bundle/bundle.js').TokenizerContract} TokenizerContract
 * @typedef {{ids: Int32Array, typeIds: Int32Array}} Encoding both int32[sequence]. They are
 *   parts of a buffer that other encodings share, so send a `slice()` to another thread.
 * @typedef {Encoding & {tokens: string[], offsets: [number, number][]}} DetailedEncoding
 *   `offsets`: UTF-16 units in the text (or pair) that the token comes from; [0, 0] for a special
 *   token that was added
 * @typedef {object} Options
 * @property {string} [pair] a second text
 * @property {boolean} [specialTokens] whether [CLS] and [SEP] are added; true by default
 * @property {number} [maxLength] the most tokens, special ones included; by default the model's positions
 * @property {import('./truncate.js').Truncation} [truncation] `longest-first` by default, as
 *   in the tokenizer's own library
 */

const PARTS = ['vocabBytes', 'tablesBytes', 'contract', 'maxLength'];
const OPTIONS = ['pair', 'specialTokens', 'maxLength', 'truncation'];

/** The largest vocab, and the largest tables, in bytes; the largest in use have 16 MB and 100 kB. */
const MAX_FILE_BYTES = 2 ** 27;
/** The most characters of a special token. */
const MAX_SPECIAL_LENGTH = 256;

/** Turns texts into ids. */
export class Tokenizer {
  /**
   * @param {object} parts
   * @param {Uint8Array} parts.vocabBytes the bundle's `vocab.txt`
   * @param {Uint8Array} parts.tablesBytes the bundle's `tokenizer_tables.bin`
   * @param {TokenizerContract} parts.contract `tokenizer` in the bundle's `bundle.json`
   * @param {number} [parts.maxLength] positions of the model
   */
  constructor(parts) {
    assertOptions('new Tokenizer', parts, PARTS);
    const { vocabBytes, tablesBytes, contract, maxLength = 512 } = parts;
    const { algorithm, special_tokens: special } = contract;
    assertSpecial(special);
    this.vocab = parseVocab(vocabBytes);
    if (this.vocab.length !== contract.vocab_size) {
      throw new UserError(`vocab.txt has ${this.vocab.length} lines, expected ${contract.vocab_size}; export the bundle again`);
    }
    const tables = new CharacterTables(tablesBytes);
    const pieces = algorithm === 'chars' ? this.vocab.map(lowerAscii) : this.vocab;
    /** @private */
    this.scanner = new Scanner(tables, new Trie(pieces, tables.isolated, algorithm === 'bert'), {
      unknown: special.unk.id,
      softSpaces: algorithm === 'tf-text-fast',
    });
    /** @private special tokens that are recognised when a text contains them */
    this.writtenTokens = algorithm === 'bert' || algorithm === 'chars' ? Object.values(special) : [];
    /** @private */
    this.inAnyCase = algorithm === 'chars';
    /** @private */
    this.arrayPool = new ArrayPool();
    this.algorithm = algorithm;
    this.special = special;
    this.maxLength = maxLength;
  }

  /**
   * @param {{read: (name: string, most?: number) => Uint8Array,
   *   contract: {tokenizer: TokenizerContract, max_length: number}}} bundle
   */
  static fromBundle(bundle) {
    return new Tokenizer({
      vocabBytes: bundle.read('vocab.txt', MAX_FILE_BYTES),
      tablesBytes: bundle.read('tokenizer_tables.bin', MAX_FILE_BYTES),
      contract: bundle.contract.tokenizer,
      maxLength: bundle.contract.max_length,
    });
  }

  get padId() {
    return this.special.pad.id;
  }

  get unkId() {
    return this.special.unk.id;
  }

  get clsId() {
    return this.special.cls.id;
  }

  get sepId() {
    return this.special.sep.id;
  }

  get maskId() {
    return this.special.mask.id;
  }

  /**
   * The ids of a text, or of a text and its pair.
   *
   * @param {string} text
   * @param {Options} [options]
   * @returns {Encoding}
   * @throws {UserError} the text has a lone surrogate, or an option is unknown
   */
  encode(text, options = {}) {
    return this.assemble(this.layOut(text, options));
  }

  /**
   * The same ids, and for each the token and its offsets in the text.
   *
   * @param {string} text
   * @param {Options} [options]
   * @returns {DetailedEncoding}
   */
  encodeWithTokens(text, options = {}) {
    const layout = this.layOut(text, options);
    const { ids, typeIds } = this.assemble(layout);
    const { lead, first, middle, second, secondAt } = layout;
    /** @type {string[]} */
    const tokens = new Array(ids.length);
    /** @type {[number, number][]} */
    const offsets = new Array(ids.length);
    this.setOffsets(offsets, lead, 0, first);
    this.setOffsets(offsets, lead + first + middle, secondAt, second);
    for (let i = 0; i < ids.length; i++) {
      tokens[i] = this.vocab[ids[i]];
      offsets[i] ??= [0, 0];
    }
    return { ids, typeIds, tokens, offsets };
  }

  /**
   * Writes the offsets of some scanned tokens.
   *
   * @private
   * @param {[number, number][]} offsets of all tokens; changed in place
   * @param {number} at index of the first token in `offsets`
   * @param {number} scannedAt index of the first token in the scanner
   * @param {number} count how many tokens
   */
  setOffsets(offsets, at, scannedAt, count) {
    const { starts, ends } = this.scanner;
    const last = Math.min(count, offsets.length - at);
    for (let i = 0; i < last; i++) offsets[at + i] = [starts[scannedAt + i], ends[scannedAt + i]];
  }

  /**
   * Scans the texts and decides which tokens stay: `lead` special tokens, `first` tokens of the text,
   * `middle` special tokens, `second` tokens of the pair, `tail` special tokens, all cut to `limit`.
   *
   * @private
   * @param {string} text
   * @param {Options} options
   */
  layOut(text, options) {
    assertOptions('encode', options, OPTIONS);
    const { pair, specialTokens = true, maxLength = this.maxLength, truncation = 'longest-first' } = options;
    assertMaxLength(maxLength);
    this.scanner.clear();
    this.scanText(text);
    const secondAt = this.scanner.count;
    if (pair !== undefined) this.scanText(pair);
    const lead = specialTokens ? 1 : 0;
    const tail = specialTokens && pair !== undefined ? 1 : 0;
    let first = secondAt;
    let second = this.scanner.count - secondAt;
    if (truncation === 'longest-first') {
      const available = maxLength - 2 * lead - tail;
      [first, second] = cutPair(this.algorithm, first, second, available);
    } else if (truncation !== 'joined') {
      throw new UserError(`Expected \`truncation\` to be longest-first or joined, got \`${truncation}\``);
    }
    return { lead, first, middle: lead, second, tail, secondAt, limit: maxLength, truncation };
  }

  /**
   * @private
   * @param {ReturnType<Tokenizer['layOut']>} layout
   * @returns {Encoding}
   */
  assemble({ lead, first, middle, second, tail, secondAt, limit, truncation }) {
    const whole = lead + first + middle + second + tail;
    const ids = this.arrayPool.take(whole);
    const { ids: scanned } = this.scanner;
    for (let i = 0; i < first; i++) ids[lead + i] = scanned[i];
    const pairAt = lead + first + middle;
    for (let i = 0; i < second; i++) ids[pairAt + i] = scanned[secondAt + i];
    if (lead > 0) {
      ids[0] = this.special.cls.id;
      ids[lead + first] = this.special.sep.id;
    }
    if (tail > 0) ids[whole - 1] = this.special.sep.id;
    const typeIds = this.arrayPool.take(whole);
    if (second + tail > 0) typeIds.fill(1, pairAt);
    if (truncation === 'longest-first' || whole <= limit) return { ids, typeIds };
    return { ids: ids.slice(0, limit), typeIds: typeIds.slice(0, limit) };
  }

  /** @private @param {string} text */
  scanText(text) {
    const { scanner } = this;
    if (this.writtenTokens.length === 0) {
      scanner.scan(text, 0, text.length);
      return;
    }
    splitAtSpecialTokens(
      text,
      this.writtenTokens,
      this.inAnyCase,
      (from, to) => scanner.scan(text, from, to),
      (id, from, to) => {
        scanner.reserve(text.length - from);
        scanner.emit(id, from, to);
      },
    );
  }
}

/**
 * Checks the special tokens. An empty one would be found everywhere, without end.
 *
 * @param {TokenizerContract['special_tokens']} special
 * @throws {UserError} a token is empty or very long
 */
function assertSpecial(special) {
  for (const [role, { token }] of Object.entries(special)) {
    if (typeof token === 'string' && token.length > 0 && token.length <= MAX_SPECIAL_LENGTH) continue;
    throw new UserError(
      `the special token ${role} is ${JSON.stringify(token).slice(0, 60)}, expected 1 to ${MAX_SPECIAL_LENGTH} characters; export the bundle again`,
    );
  }
}

/**
 * Elements of a buffer in an ArrayPool (16 KiB). A small buffer: an array that is in use for long keeps
 * its whole buffer in memory.
 */
const POOL_SIZE = 4096;

/** Takes many small arrays from few large buffers, since to allocate each one costs more than to write it. */
export class ArrayPool {
  constructor() {
    this.buffer = new Int32Array(POOL_SIZE);
    this.used = 0;
  }

  /**
   * @param {number} length
   * @returns {Int32Array} zeros; no other array has the same memory
   */
  take(length) {
    if (length > POOL_SIZE / 4) return new Int32Array(length);
    if (this.used + length > POOL_SIZE) {
      this.buffer = new Int32Array(POOL_SIZE);
      this.used = 0;
    }
    const array = new Int32Array(this.buffer.buffer, this.used * 4, length);
    this.used += length;
    return array;
  }
}
