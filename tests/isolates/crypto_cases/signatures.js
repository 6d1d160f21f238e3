const USES = ['sign', 'verify'];

cases['HMAC gives the vector of RFC 4231'] = async () => {
  const key = await subtle.importKey('raw', utf8('Jefe'), { name: 'HMAC', hash: 'SHA-256' }, false, USES);
  const data = utf8('what do ya want for nothing?');
  const code = await subtle.sign('HMAC', key, data);
  equal(toHex(code), '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843');
  equal(await subtle.verify('HMAC', key, code, data), true);
  equal(await subtle.verify('HMAC', key, code.slice(1), data), false);
};
cases['HMAC keys have the block size of the hash, or a length in bits'] = async () => {
  const bits = async (hash, length) =>
    (await subtle.generateKey({ name: 'HMAC', hash, length }, true, USES)).algorithm.length;
  same([await bits('SHA-1'), await bits('SHA-512'), await bits('SHA-256', 13)], [512, 1024, 13]);
  await rejects(bits('SHA-256', 0), 'OperationError');
  const algorithm = { name: 'HMAC', hash: 'SHA-256', length: 13 };
  const key = await subtle.importKey('raw', hex('ffff'), algorithm, true, USES);
  equal(toHex(await subtle.exportKey('raw', key)), 'fff8');
  await rejects(subtle.importKey('raw', hex('ff'), algorithm, true, USES), 'DataError');
  await rejects(subtle.importKey('raw', hex('ffffff'), algorithm, true, USES), 'DataError');
};
for (const name of ['RSASSA-PKCS1-v1_5', 'RSA-PSS']) {
  cases['RSA signatures hold: ' + name] = async () => {
    const { publicKey, privateKey } = await rsa(name, USES);
    const algorithm = { name, saltLength: 20 };
    const signature = await subtle.sign(algorithm, privateKey, utf8('text'));
    equal(await subtle.verify(algorithm, publicKey, signature, utf8('text')), true);
    equal(await subtle.verify(algorithm, publicKey, signature, utf8('Text')), false);
    equal(await subtle.verify(algorithm, publicKey, new Uint8Array(3), utf8('text')), false);
    await rejects(subtle.sign(algorithm, publicKey, utf8('text')), 'InvalidAccessError');
  };
}
cases['RSA-PSS refuses a salt that does not fit'] = async () => {
  const { privateKey } = await rsa('RSA-PSS', USES);
  await rejects(subtle.sign({ name: 'RSA-PSS', saltLength: 1000 }, privateKey, utf8('text')), 'OperationError');
  await rejects(subtle.sign('RSA-PSS', privateKey, utf8('text')), 'TypeError');
};
cases['ECDSA signs on each curve, r and s in full length'] = async () => {
  for (const [namedCurve, size] of [
    ['P-256', 64],
    ['P-384', 96],
    ['P-521', 132],
  ]) {
    const { publicKey, privateKey } = await subtle.generateKey({ name: 'ECDSA', namedCurve }, false, USES);
    const algorithm = { name: 'ECDSA', hash: { name: 'sha-384' } };
    const signature = new Uint8Array(await subtle.sign(algorithm, privateKey, utf8('text')));
    equal(signature.length, size);
    equal(await subtle.verify(algorithm, publicKey, signature, utf8('text')), true);
    equal(await subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, publicKey, signature, utf8('text')), false);
    equal(await subtle.verify(algorithm, publicKey, signature.subarray(1), utf8('text')), false);
    equal(await subtle.verify(algorithm, publicKey, new Uint8Array(size), utf8('text')), false);
  }
};
cases['Ed25519 gives the vector of RFC 8032'] = async () => {
  const d = hex('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb').toBase64({
    alphabet: 'base64url',
    omitPadding: true,
  });
  const x = hex('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c').toBase64({
    alphabet: 'base64url',
    omitPadding: true,
  });
  const jwk = { kty: 'OKP', crv: 'Ed25519', x };
  const privateKey = await subtle.importKey('jwk', { ...jwk, d, alg: 'EdDSA' }, 'Ed25519', false, ['sign']);
  const publicKey = await subtle.importKey('jwk', { ...jwk, alg: 'Ed25519' }, 'Ed25519', false, ['verify']);
  const signature = await subtle.sign('Ed25519', privateKey, hex('72'));
  equal(
    toHex(signature),
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  );
  equal(await subtle.verify('Ed25519', publicKey, signature, hex('72')), true);
};
cases['EdDSA refuses keys of small order'] = async () => {
  // The identity as key and as R, with S = 0, satisfies the equation for every message.
  const identity = new Uint8Array(32);
  identity[0] = 1;
  const key = await subtle.importKey('raw', identity, 'Ed25519', true, ['verify']);
  const signature = new Uint8Array(64);
  signature[0] = 1;
  equal(await subtle.verify('Ed25519', key, signature, utf8('anything')), false);
};
