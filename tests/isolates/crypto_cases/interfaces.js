cases['the attributes of a key are kept objects, and changing them changes nothing'] = async () => {
  const key = await subtle.generateKey({ name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  equal(key.algorithm, key.algorithm);
  equal(key.usages, key.usages);
  key.usages.push('verify');
  key.algorithm.name = 'AES-CBC';
  key.algorithm.hash.name = 'SHA-1';
  equal((await subtle.sign('HMAC', key, utf8('x'))).byteLength, 32);
  await rejects(subtle.verify('HMAC', key, utf8('x'), utf8('x')), 'InvalidAccessError');
};
cases['a key can be cloned and nothing else made one'] = async () => {
  const key = await subtle.generateKey({ name: 'AES-CTR', length: 128 }, true, ['encrypt']);
  const copy = structuredClone({ key }).key;
  ok(copy instanceof CryptoKey && copy !== key, 'a copy');
  equal(toHex(await subtle.exportKey('raw', copy)), toHex(await subtle.exportKey('raw', key)));
  throws(() => new CryptoKey(), 'TypeError');
  throws(() => new SubtleCrypto(), 'TypeError');
  throws(() => Object.create(CryptoKey.prototype).type, 'TypeError');
  await rejects(subtle.exportKey('raw', Object.create(CryptoKey.prototype)), 'TypeError');
  await rejects(subtle.exportKey.call({}, 'raw', key), 'TypeError');
};
cases['interfaces have the shape of Web IDL'] = async () => {
  same([CryptoKey.length, SubtleCrypto.length, Crypto.length], [0, 0, 0]);
  same([subtle.deriveBits.length, subtle.importKey.length, subtle.unwrapKey.length], [2, 5, 7]);
  equal(Object.prototype.toString.call(subtle), '[object SubtleCrypto]');
  ok(Object.getOwnPropertyDescriptor(SubtleCrypto.prototype, 'sign').enumerable, 'methods enumerable');
  equal(crypto.subtle, crypto.subtle);
};
cases['arguments are converted before anything else'] = async () => {
  const key = await subtle.generateKey({ name: 'AES-CBC', length: 128 }, true, ['encrypt']);
  await rejects(subtle.encrypt('unknown', key), 'TypeError');
  await rejects(subtle.encrypt('unknown', {}, utf8('x')), 'TypeError');
  await rejects(subtle.encrypt('unknown', key, 'text'), 'TypeError');
  await rejects(subtle.importKey('file', utf8('x'), 'AES-CBC', true, ['encrypt']), 'TypeError');
  await rejects(subtle.importKey('raw', { kty: 'oct' }, 'AES-CBC', true, ['encrypt']), 'TypeError');
  await rejects(subtle.importKey('jwk', utf8('x'), 'AES-CBC', true, ['encrypt']), 'TypeError');
  await rejects(subtle.digest('SHA-256', 'text'), 'TypeError');
  await rejects(subtle.digest('MD5', utf8('x')), 'NotSupportedError');
};
cases['members of an algorithm are read in order, once'] = async () => {
  const seen = [];
  const watched = new Proxy(
    { name: 'PBKDF2', hash: 'SHA-256', salt: utf8('s'), iterations: 1 },
    {
      get(target, name) {
        seen.push(name);
        return target[name];
      },
    },
  );
  const key = await subtle.importKey('raw', utf8('x'), 'PBKDF2', false, ['deriveBits']);
  await subtle.deriveBits(watched, key, 8);
  same(seen, ['name', 'name', 'hash', 'iterations', 'salt']);
};
cases['random values fill integer arrays up to the quota'] = async () => {
  for (const Type of [Int8Array, Uint32Array, BigInt64Array])
    ok(crypto.getRandomValues(new Type(8)) instanceof Type, Type.name);
  throws(() => crypto.getRandomValues(new Float32Array(4)), 'TypeMismatchError');
  throws(() => crypto.getRandomValues(new DataView(new ArrayBuffer(4))), 'TypeMismatchError');
  throws(() => crypto.getRandomValues(new Uint8Array(65537)), 'QuotaExceededError');
  throws(() => crypto.getRandomValues({}), 'TypeError');
};
