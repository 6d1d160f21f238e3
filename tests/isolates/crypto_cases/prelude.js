// What the cases of this folder share; the assertions are those of platform_cases/prelude.js.
const { subtle } = crypto;
const hex = (digits) => Uint8Array.fromHex(digits);
const toHex = (buffer) => new Uint8Array(buffer).toHex();
const utf8 = (string) => new TextEncoder().encode(string);
const text = (buffer) => new TextDecoder().decode(buffer);
const rsa = (name, usages, more = {}) =>
  subtle.generateKey(
    { name, modulusLength: 1024, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256', ...more },
    true,
    usages,
  );
