/** Signatures: made here with Node's own crypto from the documented layout, checked by the bridge. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, sign as signWith } from 'node:crypto';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { readTrustedKeys } from '../../node_bridge/bundle/signature.js';
import { writeToyBundle } from './toy_bundle.js';

const [ours, other] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];

/** @param {import('node:crypto').KeyObject} key */
const pem = (key) => /** @type {string} */ (key.export({ type: 'spki', format: 'pem' }));

/** Signs as docs/bundle.md says. @param {string} dir @param {{privateKey: import('node:crypto').KeyObject, publicKey: import('node:crypto').KeyObject}} keys @param {object} [changes] */
function sign(dir, { privateKey, publicKey }, changes = {}) {
  const message = Buffer.concat([Buffer.from('bert-bridge-signature 1 bundle.json\n'), readFileSync(join(dir, 'bundle.json'))]);
  const raw = Buffer.from(/** @type {string} */ (publicKey.export({ format: 'jwk' }).x), 'base64url');
  const document = {
    format: 'bert-bridge-signature',
    version: 1,
    algorithm: 'ed25519',
    signs: 'bundle.json',
    public_key: raw.toString('base64'),
    signature: signWith(null, message, privateKey).toString('base64'),
    ...changes,
  };
  writeFileSync(join(dir, 'signature.json'), JSON.stringify(document));
}

function toy() {
  const dir = join(mkdtempSync(join(tmpdir(), 'signature-')), 'b');
  writeToyBundle(dir);
  return dir;
}

test('a signed bundle opens with its key, also if it is one of several', () => {
  const dir = toy();
  sign(dir, ours);
  Bundle.open(dir, { trustedKeys: pem(ours.publicKey) });
  Bundle.open(dir, { trustedKeys: `${pem(other.publicKey)}${pem(ours.publicKey)}` });
  Bundle.open(dir);
});

test('an unsigned bundle, or one of another publisher, is refused', () => {
  const dir = toy();
  const open = () => Bundle.open(dir, { trustedKeys: pem(ours.publicKey) });
  assert.throws(open, { exitCode: 2, message: /is not signed: it has no signature\.json/ });
  sign(dir, other);
  assert.throws(open, { exitCode: 2, message: /is signed by the key SHA256:\S{22}, expected SHA256:\S{22}/ });
});

test('a contract that was changed after signing is refused, though its hashes are right', () => {
  const dir = toy();
  sign(dir, ours);
  const file = join(dir, 'bundle.json');
  writeFileSync(file, readFileSync(file, 'utf8').replace('"max_length"', ' "max_length"'));
  Bundle.open(dir);
  assert.throws(() => Bundle.open(dir, { trustedKeys: pem(ours.publicKey) }), { message: /it was changed after signing/ });
});

test('a signature of the same bytes for another purpose is refused', () => {
  const dir = toy();
  const plain = signWith(null, readFileSync(join(dir, 'bundle.json')), ours.privateKey).toString('base64');
  sign(dir, ours, { signature: plain });
  assert.throws(() => Bundle.open(dir, { trustedKeys: pem(ours.publicKey) }), { message: /changed after signing/ });
});

test('an invalid signature file is refused in one line', () => {
  for (const changes of [
    { format: 'x' },
    { version: 2 },
    { algorithm: 'rsa' },
    { algorithm: ['ed25519'] },
    { signs: 'classifier.json' },
    { signature: 5 },
    { signature: '' },
    { signature: 'AAAA' },
    { public_key: null },
    { public_key: 'x'.repeat(99) },
  ]) {
    const dir = toy();
    sign(dir, ours, changes);
    const open = () => Bundle.open(dir, { trustedKeys: pem(ours.publicKey) });
    assert.throws(open, { exitCode: 2, message: /signature\.json: got .*; sign it again/ }, JSON.stringify(changes));
  }
  for (const text of ['', '[', 'null', '5', '"x"', '{}']) {
    const dir = toy();
    writeFileSync(join(dir, 'signature.json'), text);
    assert.throws(() => Bundle.open(dir, { trustedKeys: pem(ours.publicKey) }), { exitCode: 2, message: /sign it again/ }, text);
  }
});

test('a pipe instead of a signature is refused without waiting', { skip: process.platform === 'win32' }, () => {
  const dir = toy();
  execFileSync('mkfifo', [join(dir, 'signature.json')]);
  assert.throws(() => Bundle.open(dir, { trustedKeys: pem(ours.publicKey) }), {
    exitCode: 2,
    message: /signature\.json is a pipe, expected a file/,
  });
});

test('a key file without keys, or with keys of another kind, is refused', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'keys-')), 'key.pem');
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
  for (const [text, said] of /** @type {[string, RegExp][]} */ ([
    ['', /got none/],
    [/** @type {string} */ (ours.privateKey.export({ type: 'pkcs8', format: 'pem' })), /got none/],
    [pem(rsa), /got rsa/],
    ['-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----', /a block that is no key/],
  ])) {
    writeFileSync(file, text);
    assert.throws(() => readTrustedKeys(file), { exitCode: 2, message: said });
  }
  assert.throws(() => readTrustedKeys(tmpdir()), { exitCode: 2, message: /is no file with public keys/ });
  assert.throws(() => readTrustedKeys('missing.pem'), { exitCode: 2 });
  assert.equal(readTrustedKeys(undefined), undefined);
});
