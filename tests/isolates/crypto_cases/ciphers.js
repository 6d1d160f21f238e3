const KEY = hex('000102030405060708090a0b0c0d0e0f');
const aes = (name, usages, bytes = KEY) => subtle.importKey('raw', bytes, name, true, usages);
const BOTH = ['encrypt', 'decrypt'];

cases['AES-CBC pads and gives the vector of NIST SP 800-38A'] = async () => {
  const key = await aes('AES-CBC', BOTH, hex('2b7e151628aed2a6abf7158809cf4f3c'));
  const plain = hex('6bc1bee22e409f96e93d7e117393172a');
  const sealed = await subtle.encrypt({ name: 'aes-cbc', iv: KEY }, key, plain);
  equal(sealed.byteLength, 32);
  equal(toHex(sealed).slice(0, 32), '7649abac8119b246cee98e9b12e9197d');
  equal(toHex(await subtle.decrypt({ name: 'AES-CBC', iv: KEY }, key, sealed)), toHex(plain));
};
cases['AES-CBC tells bad padding and part blocks apart for nobody'] = async () => {
  const key = await aes('AES-CBC', BOTH);
  const messages = [];
  for (const data of [new Uint8Array(16), new Uint8Array(15), new Uint8Array(0)]) {
    messages.push((await rejects(subtle.decrypt({ name: 'AES-CBC', iv: KEY }, key, data), 'OperationError')).message);
  }
  equal(new Set(messages).size, 1);
};
cases['AES-CTR wraps its counter within the given bits'] = async () => {
  const key = await aes('AES-CTR', BOTH);
  const block = async (counter) =>
    toHex(await subtle.encrypt({ name: 'AES-CTR', counter, length: 128 }, key, new Uint8Array(16)));
  const high = hex('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaafe');
  const stream = toHex(await subtle.encrypt({ name: 'AES-CTR', counter: high, length: 4 }, key, new Uint8Array(56)));
  const expected = [
    high,
    hex('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaff'),
    hex('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaf0'),
    hex('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaf1'),
  ];
  equal(stream, (await Promise.all(expected.map(block))).join('').slice(0, 112));
  await rejects(
    subtle.encrypt({ name: 'AES-CTR', counter: high, length: 1 }, key, new Uint8Array(33)),
    'OperationError',
  );
  await rejects(subtle.encrypt({ name: 'AES-CTR', counter: high, length: 129 }, key, KEY), 'OperationError');
  await rejects(subtle.encrypt({ name: 'AES-CTR', counter: high, length: 256 }, key, KEY), 'TypeError');
};
cases['AES-GCM authenticates data, additional data and tag'] = async () => {
  const key = await aes('AES-GCM', BOTH);
  const iv = KEY.subarray(0, 12);
  const additionalData = utf8('header');
  for (const tagLength of [32, 64, 96, 104, 112, 120, 128]) {
    const algorithm = { name: 'AES-GCM', iv, additionalData, tagLength };
    const sealed = new Uint8Array(await subtle.encrypt(algorithm, key, utf8('message')));
    equal(sealed.length, 7 + tagLength / 8);
    equal(text(await subtle.decrypt(algorithm, key, sealed)), 'message');
    await rejects(subtle.decrypt({ ...algorithm, additionalData: utf8('Header') }, key, sealed), 'OperationError');
    sealed[0] ^= 1;
    await rejects(subtle.decrypt(algorithm, key, sealed), 'OperationError');
  }
  await rejects(subtle.encrypt({ name: 'AES-GCM', iv, tagLength: 40 }, key, KEY), 'OperationError');
  await rejects(subtle.decrypt({ name: 'AES-GCM', iv }, key, new Uint8Array(15)), 'OperationError');
};
cases['AES-KW gives the vector of RFC 3394'] = async () => {
  const wrapping = await aes('AES-KW', ['wrapKey', 'unwrapKey']);
  const key = await aes('AES-GCM', BOTH, hex('00112233445566778899aabbccddeeff'));
  const wrapped = await subtle.wrapKey('raw', key, wrapping, 'AES-KW');
  equal(toHex(wrapped), '1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5');
  const back = await subtle.unwrapKey('raw', wrapped, wrapping, 'AES-KW', 'AES-GCM', true, ['decrypt']);
  equal(toHex(await subtle.exportKey('raw', back)), '00112233445566778899aabbccddeeff');
  new Uint8Array(wrapped)[3] ^= 1;
  await rejects(subtle.unwrapKey('raw', wrapped, wrapping, 'AES-KW', 'AES-GCM', true, ['decrypt']), 'OperationError');
};
cases['data larger than the buffer to the host goes through'] = async () => {
  const key = await aes('AES-GCM', BOTH);
  const data = new Uint8Array(5_000_001).map((_, i) => i * 31);
  const algorithm = { name: 'AES-GCM', iv: KEY };
  const sealed = await subtle.encrypt(algorithm, key, data);
  equal(sealed.byteLength, data.length + 16);
  const back = new Uint8Array(await subtle.decrypt(algorithm, key, sealed));
  ok(back.length === data.length && back.every((byte, i) => byte === data[i]), 'the same data');
};
cases['data is taken at the call'] = async () => {
  const key = await aes('AES-CBC', BOTH);
  const data = utf8('before');
  const iv = KEY.slice();
  const sealing = subtle.encrypt({ name: 'AES-CBC', iv }, key, data);
  data.fill(0);
  iv.fill(0);
  equal(text(await subtle.decrypt({ name: 'AES-CBC', iv: KEY }, key, await sealing)), 'before');
};
cases['RSA-OAEP encrypts for the private key and label'] = async () => {
  const { publicKey, privateKey } = await rsa('RSA-OAEP', BOTH);
  const sealed = await subtle.encrypt({ name: 'RSA-OAEP', label: utf8('a') }, publicKey, utf8('secret'));
  equal(text(await subtle.decrypt({ name: 'RSA-OAEP', label: utf8('a') }, privateKey, sealed)), 'secret');
  await rejects(subtle.decrypt('RSA-OAEP', privateKey, sealed), 'OperationError');
  await rejects(subtle.encrypt('RSA-OAEP', publicKey, new Uint8Array(200)), 'OperationError');
  await rejects(subtle.encrypt('RSA-OAEP', privateKey, utf8('x')), 'InvalidAccessError');
};
