/**
 * Checks who signed a bundle or a classifier. Hashes find damage, but an attacker who changes a file
 * can write new hashes; a signature needs the publisher's private key. It covers every byte of the
 * contract, and through the hashes in it every other file. The algorithm is Ed25519 (RFC 8032), from
 * Node's crypto. `python -m export sign` signs; docs/bundle.md describes `signature.json`.
 */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { isNotFoundError } from '../support/checked_file.js';
import { catchUserError, UserError } from '../support/errors.js';
import { readInput } from '../support/files.js';
import { isObject, parseJson } from '../support/json.js';

/** The file beside the contract; no list of files names it. */
export const SIGNATURE_FILE = 'signature.json';
const FORMAT = 'bert-bridge-signature';
const VERSION = 1;

/** The largest signature file, and the largest file of public keys, in bytes. */
const MAX_BYTES = 2 ** 16;
const RAW_KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const PEM = /-----BEGIN PUBLIC KEY-----[^-]*-----END PUBLIC KEY-----/g;

/**
 * Refuses a directory whose contract none of the keys has signed.
 *
 * @param {string} dir of the bundle or the classifier
 * @param {string} name of its contract: `bundle.json` or `classifier.json`
 * @param {Uint8Array} contract the bytes of the contract that the caller uses
 * @param {string} trustedKeys public keys, one or more PEM blocks; one of them must have signed
 * @throws {UserError} it is not signed, not by these keys, or it was changed after signing
 */
export function assertSigned(dir, name, contract, trustedKeys) {
  const keys = parsePublicKeys(trustedKeys);
  const signature = readSignature(dir, name);
  const message = Buffer.concat([Buffer.from(`${FORMAT} ${VERSION} ${name}\n`), contract]);
  if (keys.some((key) => verify(null, message, key, signature.bytes))) return;
  const signer = fingerprint(signature.key);
  const trusted = keys.map((key) => fingerprint(exportRawKey(key)));
  throw new UserError(
    trusted.includes(signer)
      ? `${join(dir, name)} is not what its signature was made for: it was changed after signing; get it again`
      : `${dir} is signed by the key ${signer}, expected ${trusted.join(' or ')}; get it from its publisher, or give his public key`,
  );
}

/**
 * Reads the public keys for `--require-signature FILE`.
 *
 * @param {string | undefined} file
 * @returns {string | undefined} PEM blocks; undefined if no file is named
 * @throws {UserError} the file cannot be read, or has no keys
 */
export function readTrustedKeys(file) {
  if (file === undefined) return undefined;
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile() || stat.size > MAX_BYTES) {
    throw new UserError(`--require-signature: ${file} is no file with public keys, expected PEM blocks`);
  }
  const text = readFileSync(file, 'utf8');
  parsePublicKeys(text);
  return text;
}

/**
 * @param {string} pem
 * @returns {import('node:crypto').KeyObject[]} at least one
 * @throws {UserError} there is none, or one is not Ed25519
 */
function parsePublicKeys(pem) {
  const blocks = pem.match(PEM) ?? [];
  if (blocks.length === 0) {
    throw new UserError(
      'Expected Ed25519 public keys as PEM blocks, got none; `openssl pkey -in key.pem -pubout` prints the one of a private key',
    );
  }
  return blocks.map((block) => {
    const key = parsePublicKey(block);
    if (key?.asymmetricKeyType === 'ed25519') return key;
    throw new UserError(`Expected Ed25519 public keys, got ${key?.asymmetricKeyType ?? 'a block that is no key'}`);
  });
}

/** @param {string} block */
function parsePublicKey(block) {
  try {
    return createPublicKey(block);
  } catch {
    return undefined;
  }
}

/**
 * @param {string} dir
 * @param {string} name of the contract that it must sign
 * @returns {{key: Buffer, bytes: Buffer}} `key`: the public key that it names, used in messages only;
 *   `bytes`: the 64 bytes of the signature
 * @throws {UserError} the file is missing, or is not a signature of this contract
 */
function readSignature(dir, name) {
  const path = join(dir, SIGNATURE_FILE);
  let bytes;
  try {
    bytes = readInput(path, MAX_BYTES);
  } catch (error) {
    if (!isNotFoundError(error)) throw error;
    throw new UserError(
      `${dir} is not signed: it has no ${SIGNATURE_FILE}; its publisher makes one with \`python -m export sign\``,
    );
  }
  const problem = (/** @type {string} */ what) =>
    new UserError(
      `${path}: got ${what}, expected format "${FORMAT}", version ${VERSION}, algorithm "ed25519", signs "${name}", public_key and signature; sign it again`,
    );
  const document = catchUserError(() => parseJson(bytes));
  if (!isObject(document) || document instanceof UserError) throw problem('no JSON object');
  const { format, version, algorithm, signs, public_key: key, signature } = document;
  if (format !== FORMAT || version !== VERSION || algorithm !== 'ed25519' || signs !== name) throw problem('something else');
  const [raw, made] = [key, signature].map((value) =>
    typeof value === 'string' ? Buffer.from(value, 'base64') : Buffer.alloc(0),
  );
  if (raw.length !== RAW_KEY_BYTES || made.length !== SIGNATURE_BYTES) throw problem(`${raw.length} and ${made.length} bytes`);
  return { key: raw, bytes: made };
}

/** The 32 bytes of a public key; they are the last ones of its SPKI form. @param {import('node:crypto').KeyObject} key */
function exportRawKey(key) {
  return key.export({ type: 'spki', format: 'der' }).subarray(-RAW_KEY_BYTES);
}

/** A short text by which people recognise a key. @param {Uint8Array} raw */
function fingerprint(raw) {
  return `SHA256:${createHash('sha256').update(raw).digest('base64url').slice(0, 22)}`;
}
