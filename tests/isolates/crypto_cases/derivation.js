// RFC 7748 §6.1: Bob's private key and Alice's public one.
const BOB = '5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb';
const ALICE = '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a';
const material = (name, data, usages = ['deriveBits', 'deriveKey']) =>
  subtle.importKey('raw', data, name, false, usages);

cases['HKDF gives the first vector of RFC 5869'] = async () => {
  const key = await material('HKDF', new Uint8Array(22).fill(0x0b));
  const algorithm = {
    name: 'HKDF',
    hash: 'SHA-256',
    salt: hex('000102030405060708090a0b0c'),
    info: hex('f0f1f2f3f4f5f6f7f8f9'),
  };
  equal(
    toHex(await subtle.deriveBits(algorithm, key, 336)),
    '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
  );
  equal((await subtle.deriveBits(algorithm, key, 0)).byteLength, 0);
  await rejects(subtle.deriveBits(algorithm, key), 'OperationError');
  await rejects(subtle.deriveBits(algorithm, key, 7), 'OperationError');
  await rejects(subtle.deriveBits(algorithm, key, 255 * 256 + 8), 'OperationError');
};
cases['PBKDF2 gives the vector of RFC 6070'] = async () => {
  const key = await material('PBKDF2', utf8('password'));
  const derive = (iterations) =>
    subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-1', salt: utf8('salt'), iterations }, key, 160);
  equal(toHex(await derive(2)), 'ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957');
  await rejects(derive(0), 'OperationError');
  await rejects(derive(4_000_000_000), 'OperationError');
  await rejects(derive(-1), 'TypeError');
};
cases['keys of HKDF and PBKDF2 are raw, secret and stay inside'] = async () => {
  for (const name of ['HKDF', 'PBKDF2']) {
    const key = await material(name, utf8('x'));
    same([key.type, key.extractable, key.algorithm], ['secret', false, { name }]);
    await rejects(subtle.exportKey('raw', key), 'NotSupportedError');
    await rejects(subtle.importKey('raw', utf8('x'), name, true, ['deriveBits']), 'SyntaxError');
    await rejects(subtle.importKey('jwk', { kty: 'oct', k: 'AA' }, name, false, ['deriveBits']), 'NotSupportedError');
    await rejects(material(name, utf8('x'), []), 'SyntaxError');
  }
};
cases['X25519 gives the vector of RFC 7748'] = async () => {
  const key = await subtle.importKey('pkcs8', hex('302e020100300506032b656e04220420' + BOB), 'X25519', true, [
    'deriveBits',
  ]);
  const peer = await subtle.importKey('raw', hex(ALICE), 'X25519', true, []);
  const bits = await subtle.deriveBits({ name: 'X25519', public: peer }, key, 256);
  equal(toHex(bits), '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742');
};
cases['agreement is the same for both sides, whole or cut to bits'] = async () => {
  for (const algorithm of [
    { name: 'ECDH', namedCurve: 'P-256' },
    { name: 'ECDH', namedCurve: 'P-521' },
    { name: 'X25519' },
    { name: 'X448' },
  ]) {
    const [a, b] = [
      await subtle.generateKey(algorithm, false, ['deriveBits']),
      await subtle.generateKey(algorithm, false, ['deriveBits']),
    ];
    const { name } = algorithm;
    const [one, two] = await Promise.all([
      subtle.deriveBits({ name, public: b.publicKey }, a.privateKey, null),
      subtle.deriveBits({ name, public: a.publicKey }, b.privateKey),
    ]);
    equal(toHex(one), toHex(two));
    const cut = new Uint8Array(await subtle.deriveBits({ name, public: b.publicKey }, a.privateKey, 13));
    same([...cut], [new Uint8Array(one)[0], new Uint8Array(one)[1] & 0xf8]);
    await rejects(subtle.deriveBits({ name, public: b.publicKey }, a.privateKey, 8000), 'OperationError');
    await rejects(subtle.deriveBits({ name, public: b.privateKey }, a.privateKey), 'InvalidAccessError');
    await rejects(subtle.deriveBits({ name, public: {} }, a.privateKey), 'TypeError');
  }
};
cases['X25519 refuses a shared secret of zeros'] = async () => {
  const { privateKey } = await subtle.generateKey('X25519', false, ['deriveBits']);
  const peer = await subtle.importKey('raw', new Uint8Array(32), 'X25519', true, []);
  await rejects(subtle.deriveBits({ name: 'X25519', public: peer }, privateKey, 256), 'OperationError');
};
cases['ECDH needs keys of one curve'] = async () => {
  const a = await subtle.generateKey({ name: 'ECDH', namedCurve: 'P-256' }, false, ['deriveBits']);
  const b = await subtle.generateKey({ name: 'ECDH', namedCurve: 'P-384' }, false, ['deriveBits']);
  await rejects(subtle.deriveBits({ name: 'ECDH', public: b.publicKey }, a.privateKey), 'InvalidAccessError');
};
cases['a derived key has the length and usages that were asked for'] = async () => {
  const base = await material('PBKDF2', utf8('password'));
  const algorithm = { name: 'PBKDF2', hash: 'SHA-256', salt: utf8('salt'), iterations: 10 };
  const key = await subtle.deriveKey(algorithm, base, { name: 'AES-CBC', length: 192 }, true, ['encrypt']);
  same([key.algorithm, key.usages, key.type], [{ name: 'AES-CBC', length: 192 }, ['encrypt'], 'secret']);
  const hmac = await subtle.deriveKey(algorithm, base, { name: 'HMAC', hash: 'SHA-384' }, true, ['sign']);
  equal(hmac.algorithm.length, 1024);
  await rejects(
    subtle.deriveKey(algorithm, base, { name: 'AES-CBC', length: 100 }, true, ['encrypt']),
    'OperationError',
  );
  await rejects(subtle.deriveKey(algorithm, base, { name: 'AES-CBC', length: 128 }, true, []), 'SyntaxError');
  const narrow = await material('PBKDF2', utf8('password'), ['deriveBits']);
  await rejects(
    subtle.deriveKey(algorithm, narrow, { name: 'AES-CBC', length: 128 }, true, ['encrypt']),
    'InvalidAccessError',
  );
};
