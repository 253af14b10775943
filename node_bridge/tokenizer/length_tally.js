/** Counts how long texts were, and what was not read of them. */

/**
 * @typedef {import('./long_rule.js').LongRule} LongRule
 * @typedef {Pick<import('./long_texts.js').Reading, 'count' | 'positions' | 'unread'>} Reading
 */

/** The counts of all texts that one reader has read. */
export class LengthTally {
  /** How many texts there were. */
  texts = 0;
  /** How many had more positions than `maxLength`. */
  longer = 0;
  /** How many were not read whole. */
  incomplete = 0;
  /** How many rows of ids the longer ones gave. */
  rows = 0;
  /** The positions of all texts, of the longest one, and those that were not read. */
  positions = 0;
  longest = 0;
  unread = 0;

  #advice;

  /**
   * @param {{maxLength?: number, long?: LongRule}} how as the TextReader has it
   * @param {string} [advice] what reads texts whole that are cut
   */
  constructor({ maxLength, long }, advice = '--long windows reads them whole') {
    this.maxLength = maxLength;
    this.long = long;
    this.#advice = advice;
  }

  /** @param {Reading} reading @param {number} [times] how often the text was there */
  add({ count, positions, unread }, times = 1) {
    this.texts += times;
    this.positions += times * positions;
    this.longest = Math.max(this.longest, positions);
    this.unread += times * unread;
    if (unread > 0) this.incomplete += times;
    if (this.maxLength === undefined || positions <= this.maxLength) return;
    this.longer += times;
    this.rows += times * count;
  }

  /**
   * What was not read, in one line.
   *
   * @returns {string} empty if all was read
   *
   * @example '12 of 300 texts are longer than 128 positions and were cut; --long windows reads them whole'
   */
  describe() {
    const { texts, incomplete: count, maxLength, long } = this;
    if (count === 0) return '';
    const [are, were] = count === 1 ? ['is', 'was'] : ['are', 'were'];
    const which = `${count} of ${texts} texts ${are} longer than ${maxLength} positions`;
    if (long === undefined) return `${which} and ${were} cut; ${this.#advice}`;
    if (long.choice === 'head-tail') return `${which}; what is between head and tail was not read`;
    return `${count} of ${texts} pairs ${are} long on both sides; ${count === 1 ? 'its' : 'their'} shorter text was cut`;
  }
}
