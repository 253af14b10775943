/** A list of int32 numbers that grows, 4 bytes each. */

const SMALLEST = 1024;

export class IntList {
  #values = new Int32Array(SMALLEST);
  length = 0;

  /** @param {ArrayLike<number>} values */
  push(values) {
    const end = this.length + values.length;
    if (end > this.#values.length) {
      const larger = new Int32Array(Math.max(end, 2 * this.#values.length));
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values.set(values, this.length);
    this.length = end;
  }

  /** @param {number} i */
  at(i) {
    return this.#values[i];
  }

  /** The numbers; not a copy. @returns {Int32Array} */
  values() {
    return this.#values.subarray(0, this.length);
  }
}
