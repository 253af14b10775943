/**
 * Room for many small arrays in few large ones: memory of its own costs more than to fill it.
 */

/** Elements of a slab: 16 KiB, so that an array which is kept for long keeps little else alive. */
const SLAB = 4096;

/** Gives arrays away, one behind the other. */
export class Slab {
  constructor() {
    this.slab = new Int32Array(SLAB);
    this.used = 0;
  }

  /**
   * @param {number} length
   * @returns {Int32Array} zeros that nobody else has
   */
  take(length) {
    if (length > SLAB / 4) return new Int32Array(length);
    if (this.used + length > SLAB) {
      this.slab = new Int32Array(SLAB);
      this.used = 0;
    }
    const array = new Int32Array(this.slab.buffer, this.used * 4, length);
    this.used += length;
    return array;
  }
}
