const PAIRS = [
  [
    { name: 'RSA-PSS', hash: 'SHA-384', modulusLength: 1024, publicExponent: new Uint8Array([1, 0, 1]) },
    ['sign'],
    ['verify'],
  ],
  [
    { name: 'RSA-OAEP', hash: 'SHA-1', modulusLength: 1024, publicExponent: new Uint8Array([3]) },
    ['decrypt'],
    ['encrypt'],
  ],
  [{ name: 'ECDSA', namedCurve: 'P-256' }, ['sign'], ['verify']],
  [{ name: 'ECDH', namedCurve: 'P-521' }, ['deriveBits'], []],
  [{ name: 'Ed25519' }, ['sign'], ['verify']],
  [{ name: 'X448' }, ['deriveKey'], []],
];

for (const [algorithm, privateUsages, publicUsages] of PAIRS) {
  cases['key pairs survive every format: ' + algorithm.name] = async () => {
    const pair = await subtle.generateKey(algorithm, true, [...privateUsages, ...publicUsages]);
    for (const [key, formats, usages] of [
      [pair.privateKey, ['pkcs8', 'jwk'], privateUsages],
      [pair.publicKey, algorithm.name.startsWith('RSA') ? ['spki', 'jwk'] : ['spki', 'jwk', 'raw'], publicUsages],
    ]) {
      same(key.usages, usages);
      for (const format of formats) {
        const data = await subtle.exportKey(format, key);
        const back = await subtle.importKey(format, data, algorithm, true, usages);
        same([back.type, back.algorithm, back.usages], [key.type, key.algorithm, key.usages], format);
        const again = await subtle.exportKey(format, back);
        if (format === 'jwk') same(again, data);
        else equal(toHex(again), toHex(data));
      }
    }
    await rejects(subtle.exportKey('spki', pair.privateKey), 'InvalidAccessError');
    await rejects(subtle.exportKey('pkcs8', pair.publicKey), 'InvalidAccessError');
    await rejects(subtle.importKey('jwk', { kty: 'none' }, algorithm, true, publicUsages), 'DataError');
    await rejects(subtle.importKey('spki', utf8('nothing'), algorithm, true, publicUsages), 'DataError');
  };
}
cases['secret keys survive raw and jwk'] = async () => {
  for (const [algorithm, alg, usages] of [
    [{ name: 'AES-GCM', length: 256 }, 'A256GCM', ['encrypt', 'decrypt']],
    [{ name: 'AES-KW', length: 128 }, 'A128KW', ['wrapKey']],
    [{ name: 'HMAC', hash: 'SHA-1' }, 'HS1', ['sign']],
  ]) {
    const key = await subtle.generateKey(algorithm, true, usages);
    const jwk = await subtle.exportKey('jwk', key);
    same([jwk.kty, jwk.alg, jwk.ext, jwk.key_ops], ['oct', alg, true, usages]);
    const back = await subtle.importKey('jwk', jwk, algorithm, true, usages);
    equal(toHex(await subtle.exportKey('raw', back)), toHex(await subtle.exportKey('raw', key)));
    for (const change of [
      { alg: 'A192CBC' },
      { use: 'x' },
      { ext: false },
      { key_ops: [] },
      { k: 'A' },
      { k: '+/8=' },
      { kty: 'RSA' },
    ]) {
      await rejects(subtle.importKey('jwk', { ...jwk, ...change }, algorithm, true, usages), 'DataError');
    }
  }
};
cases['a point off the curve and a foreign public key are refused'] = async () => {
  const make = async () =>
    subtle.exportKey(
      'jwk',
      (await subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign'])).privateKey,
    );
  const [one, two] = [await make(), await make()];
  const bring = (jwk, usages = ['sign']) =>
    subtle.importKey('jwk', jwk, { name: 'ECDSA', namedCurve: 'P-256' }, true, usages);
  await bring(one);
  await rejects(bring({ ...one, y: two.y }), 'DataError');
  await rejects(bring({ ...one, d: two.d }), 'DataError');
  await rejects(bring({ ...one, d: undefined, key_ops: ['verify'], y: two.y }, ['verify']), 'DataError');
  await rejects(bring({ ...one, crv: 'P-384' }), 'DataError');
  await rejects(bring({ ...one, x: one.x.slice(0, -2) }), 'DataError');
};
cases['RSA numbers that do not belong together are refused'] = async () => {
  const { privateKey } = await rsa('RSA-PSS', ['sign', 'verify']);
  const jwk = await subtle.exportKey('jwk', privateKey);
  const bring = (key) => subtle.importKey('jwk', key, { name: 'RSA-PSS', hash: 'SHA-256' }, true, ['sign']);
  const { p, q, dp, dq, qi, ...bare } = jwk;
  same(await subtle.exportKey('jwk', await bring(bare)).then((key) => [p, q].includes(key.p)), true);
  await rejects(bring({ ...jwk, p: q, q: p }), 'DataError');
  await rejects(bring({ ...jwk, d: dp }), 'DataError');
  await rejects(bring({ ...jwk, qi: undefined }), 'DataError');
  await rejects(bring({ ...jwk, alg: 'PS512' }), 'DataError');
  await rejects(bring({ ...jwk, oth: [{}] }), 'NotSupportedError');
};
cases['keys are wrapped as JSON and come back, whatever Object.prototype has'] = async () => {
  const wrapping = await subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, [
    'wrapKey',
    'unwrapKey',
    'encrypt',
  ]);
  const { privateKey } = await subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign']);
  const algorithm = { name: 'AES-GCM', iv: new Uint8Array(12) };
  Object.prototype.toJSON = () => 'seen';
  let wrapped;
  try {
    wrapped = await subtle.wrapKey('jwk', privateKey, wrapping, algorithm);
  } finally {
    delete Object.prototype.toJSON;
  }
  Object.prototype.alg = 'ES512';
  let back;
  try {
    back = await subtle.unwrapKey('jwk', wrapped, wrapping, algorithm, { name: 'ECDSA', namedCurve: 'P-256' }, true, [
      'sign',
    ]);
  } finally {
    delete Object.prototype.alg;
  }
  same(await subtle.exportKey('jwk', back), await subtle.exportKey('jwk', privateKey));
  const junk = await subtle.encrypt(algorithm, wrapping, utf8('[1'));
  await rejects(
    subtle.unwrapKey('jwk', junk, wrapping, algorithm, { name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign']),
    'DataError',
  );
};
cases['what may not leave does not leave'] = async () => {
  const wrapping = await subtle.generateKey({ name: 'AES-KW', length: 256 }, false, ['wrapKey', 'unwrapKey']);
  const key = await subtle.generateKey({ name: 'AES-CBC', length: 256 }, false, ['encrypt']);
  await rejects(subtle.exportKey('raw', key), 'InvalidAccessError');
  await rejects(subtle.wrapKey('raw', key, wrapping, 'AES-KW'), 'InvalidAccessError');
  await rejects(subtle.wrapKey('raw', wrapping, key, 'AES-KW'), 'InvalidAccessError');
};
cases['usages and parameters are checked in the order of the specification'] = async () => {
  const aes = (length, usages) => subtle.generateKey({ name: 'AES-CBC', length }, true, usages);
  await rejects(aes(128, ['fly']), 'TypeError');
  await rejects(aes(1, ['sign']), 'SyntaxError');
  await rejects(aes(1, []), 'OperationError');
  await rejects(aes(128, []), 'SyntaxError');
  await rejects(subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-1' }, true, []), 'NotSupportedError');
  await rejects(subtle.generateKey('AES-CBC', true, ['encrypt']), 'TypeError');
  await rejects(subtle.generateKey('AES-XYZ', true, ['encrypt']), 'NotSupportedError');
  await rejects(subtle.generateKey({}, true, ['encrypt']), 'TypeError');
  await rejects(subtle.generateKey('SHA-1', true, ['encrypt']), 'NotSupportedError');
  await rejects(rsa('RSA-PSS', ['sign'], { modulusLength: 16384 }), 'OperationError');
  await rejects(rsa('RSA-PSS', ['sign'], { publicExponent: new Uint8Array([2]) }), 'OperationError');
  await rejects(rsa('RSA-PSS', ['verify']), 'SyntaxError');
};
