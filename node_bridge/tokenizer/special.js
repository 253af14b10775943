/**
 * Special tokens written in the text itself. `bert` finds them as they are spelt before anything
 * else is done, `chars` in any case; TF-Text's two find none.
 */

/**
 * @typedef {{token: string, id: number}} SpecialToken
 */

/**
 * Calls back for each stretch of ordinary text and each special token, in order.
 *
 * @param {string} text
 * @param {SpecialToken[]} tokens each begins with `[`
 * @param {boolean} anyCase
 * @param {(from: number, to: number) => void} onText
 * @param {(id: number, from: number, to: number) => void} onToken
 */
export function splitAtSpecialTokens(text, tokens, anyCase, onText, onToken) {
  let done = 0;
  for (let at = text.indexOf('['); at !== -1; at = text.indexOf('[', at + 1)) {
    const found = tokens.find(({ token }) => matchesAt(text, at, token, anyCase));
    if (found === undefined) continue;
    const end = at + found.token.length;
    onText(done, at);
    onToken(found.id, at, end);
    done = end;
    at = end - 1;
  }
  onText(done, text.length);
}

/**
 * @param {string} text
 * @param {number} at
 * @param {string} token
 * @param {boolean} anyCase
 */
function matchesAt(text, at, token, anyCase) {
  for (let i = 0; i < token.length; i++) {
    const [got, wanted] = [text.charCodeAt(at + i), token.charCodeAt(i)];
    if (got !== wanted && !(anyCase && lowerUnit(got) === lowerUnit(wanted))) return false;
  }
  return true;
}

/** @param {number} unit */
function lowerUnit(unit) {
  return unit >= 0x41 && unit <= 0x5a ? unit + 0x20 : unit;
}

/**
 * ASCII letters in lower case, everything else as it is.
 *
 * @param {string} text
 */
export function lowerAscii(text) {
  return text.replace(/[A-Z]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) + 0x20));
}
