/**
 * Finds special tokens that are written in the text itself. `bert` finds them with exact case, before
 * anything else; `chars` in any case; the two of TF-Text find none.
 */

/**
 * @typedef {{token: string, id: number}} SpecialToken
 */

/**
 * Splits a text at its special tokens, and calls back for each part in order.
 *
 * @param {string} text
 * @param {SpecialToken[]} tokens each begins with `[`
 * @param {boolean} anyCase whether upper and lower case are the same
 * @param {(from: number, to: number) => void} onText for each part without special tokens; may be empty
 * @param {(id: number, from: number, to: number) => void} onToken for each special token
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
 * @param {number} at position in the text
 * @param {string} token
 * @param {boolean} anyCase whether upper and lower case are the same
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
