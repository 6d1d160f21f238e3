/** `node:crypto`: digests, HMAC, HKDF, randomness and Web Crypto over the host; what is left says that it is not there. */

import { Buffer } from './buffer.ts';
import { Transform } from './stream.ts';
import values from 'internal:platform';
import unavailable from 'unenv/node/crypto';

export * from 'unenv/node/crypto';

type Data = string | ArrayBuffer | ArrayBufferView;
type Callback = (error: unknown, value?: unknown) => void;

/** The number by which the host knows a digest, and the block size of its HMAC in bytes. */
const DIGESTS: Record<string, [number, number]> = {
  md5: [5, 64],
  sha1: [1, 64],
  sha256: [256, 64],
  sha384: [384, 128],
  sha512: [512, 128],
};

function digestOf(algorithm: string): [number, number] {
  const known = DIGESTS[`${algorithm}`.toLowerCase().replace('-', '')];
  if (known === undefined) throw new Error(`Digest method not supported: ${algorithm}`);
  return known;
}

function bytesOf(data: Data, encoding?: string): Uint8Array<ArrayBuffer> {
  if (typeof data === 'string') return Buffer.from(data, encoding as 'utf8') as unknown as Uint8Array<ArrayBuffer>;
  if (!ArrayBuffer.isView(data)) return new Uint8Array(data);
  return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
}

function hashed(algorithm: number, parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return values.digest(algorithm, parts.length === 1 ? parts[0] : Buffer.concat(parts as Uint8Array[]));
}

/** What Hash and Hmac share: data is collected, and goes to the host in one piece. */
class Digest extends (Transform as unknown as new () => { push(chunk: unknown): void }) {
  protected parts: Uint8Array[] = [];
  #done = false;

  update(data: Data, encoding?: string): this {
    if (this.#done) throw Object.assign(new Error('Digest already called'), { code: 'ERR_CRYPTO_HASH_FINALIZED' });
    const bytes = bytesOf(data, encoding);
    this.parts.push(typeof data === 'string' ? bytes : bytes.slice());
    return this;
  }

  digest(encoding?: string): Buffer | string {
    if (this.#done) throw Object.assign(new Error('Digest already called'), { code: 'ERR_CRYPTO_HASH_FINALIZED' });
    this.#done = true;
    const result = Buffer.from(this.finish().buffer);
    return encoding === undefined || encoding === 'buffer' ? result : result.toString(encoding as 'hex');
  }

  protected finish(): Uint8Array<ArrayBuffer> {
    return new Uint8Array();
  }

  _transform(chunk: Data, encoding: string, done: () => void): void {
    this.update(chunk, encoding);
    done();
  }

  _flush(done: () => void): void {
    this.push(this.digest());
    done();
  }
}

export class Hash extends Digest {
  #algorithm: string;

  constructor(algorithm: string) {
    super();
    digestOf(algorithm);
    this.#algorithm = algorithm;
  }

  copy(): Hash {
    const other = new Hash(this.#algorithm);
    other.parts = [...this.parts];
    return other;
  }

  protected override finish(): Uint8Array<ArrayBuffer> {
    return hashed(digestOf(this.#algorithm)[0], this.parts);
  }
}

export class Hmac extends Digest {
  #algorithm: number;
  #outer: Uint8Array;

  constructor(algorithm: string, key: Data) {
    super();
    const [number, block] = digestOf(algorithm);
    let bytes = bytesOf(key);
    if (bytes.length > block) bytes = hashed(number, [bytes]);
    const inner = new Uint8Array(block).fill(0x36);
    this.#outer = new Uint8Array(block).fill(0x5c);
    bytes.forEach((byte, index) => {
      inner[index] ^= byte;
      this.#outer[index] ^= byte;
    });
    this.#algorithm = number;
    this.parts.push(inner);
  }

  protected override finish(): Uint8Array<ArrayBuffer> {
    return hashed(this.#algorithm, [this.#outer, hashed(this.#algorithm, this.parts)]);
  }
}

export const createHash = (algorithm: string): Hash => new Hash(algorithm);
export const createHmac = (algorithm: string, key: Data): Hmac => new Hmac(algorithm, key);
export const getHashes = (): string[] => Object.keys(DIGESTS);
export const hash = (algorithm: string, data: Data, encoding = 'hex'): Buffer | string =>
  createHash(algorithm).update(data).digest(encoding);

export function randomFillSync<T extends ArrayBuffer | ArrayBufferView>(target: T, offset = 0, size?: number): T {
  const bytes = bytesOf(target);
  values.fillRandom(bytes.subarray(offset, size === undefined ? undefined : offset + size));
  return target;
}

export function randomFill(target: ArrayBufferView, ...rest: unknown[]): void {
  const done = rest.pop() as Callback;
  randomFillSync(target, ...(rest as number[]));
  queueMicrotask(() => done(null, target));
}

export function randomBytes(size: number, done?: Callback): Buffer | undefined {
  const bytes = randomFillSync(Buffer.alloc(size));
  if (done === undefined) return bytes;
  queueMicrotask(() => done(null, bytes));
  return undefined;
}

/** Even over [low, high): a draw beyond the last whole multiple is thrown away. */
export function randomInt(low: number, high?: number | Callback, done?: Callback): number | undefined {
  if (typeof high !== 'number') return randomInt(0, low, high);
  const range = high - low;
  if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || range <= 0 || range > 2 ** 48 - 1) {
    throw new RangeError('The range of randomInt must be of safe integers, above 0 and below 2 ** 48');
  }
  const limit = 2 ** 48 - (2 ** 48 % range);
  let drawn = limit;
  while (drawn >= limit) drawn = Buffer.from(randomFillSync(new Uint8Array(6))).readUIntBE(0, 6);
  const value = low + (drawn % range);
  if (done === undefined) return value;
  queueMicrotask(() => done(null, value));
  return undefined;
}

export function timingSafeEqual(left: ArrayBuffer | ArrayBufferView, right: ArrayBuffer | ArrayBufferView): boolean {
  const first = bytesOf(left);
  const second = bytesOf(right);
  if (first.length !== second.length) {
    throw Object.assign(new RangeError('Input buffers must have the same byte length'), {
      code: 'ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH',
    });
  }
  let difference = 0;
  for (let at = 0; at < first.length; at++) difference |= first[at] ^ second[at];
  return difference === 0;
}

/** RFC 5869. */
export function hkdfSync(digest: string, key: Data, salt: Data, info: Data, length: number): ArrayBuffer {
  const extracted = new Hmac(digest, salt).update(key).digest() as Buffer;
  const result = new Uint8Array(length);
  let block: Data = '';
  for (let at = 0, counter = 1; at < length; counter++) {
    const next: Buffer = new Hmac(digest, extracted)
      .update(block)
      .update(info)
      .update(new Uint8Array([counter]))
      .digest() as Buffer;
    result.set(next.subarray(0, length - at), at);
    at += next.length;
    block = next;
  }
  return result.buffer;
}

export function hkdf(digest: string, key: Data, salt: Data, info: Data, length: number, done: Callback): void {
  const result = hkdfSync(digest, key, salt, info, length);
  queueMicrotask(() => done(null, result));
}

export function pbkdf2(
  password: Data,
  salt: Data,
  iterations: number,
  length: number,
  digest: string,
  done: Callback,
): void {
  const [number] = digestOf(digest);
  const parameters = { name: 'PBKDF2', hash: `SHA-${number}`, salt: bytesOf(salt), iterations };
  const { subtle } = values.crypto;
  subtle
    .importKey('raw', bytesOf(password), 'PBKDF2', false, ['deriveBits'])
    .then((key) => subtle.deriveBits(parameters, key, length * 8))
    .then(
      (bits) => done(null, Buffer.from(bits)),
      (error: unknown) => done(error),
    );
}

export const webcrypto = values.crypto;
export const { subtle } = values.crypto;
export const randomUUID = (): string => values.crypto.randomUUID();
export const getRandomValues = <T extends ArrayBufferView<ArrayBuffer>>(target: T): T =>
  values.crypto.getRandomValues(target);
export default {
  ...unavailable,
  createHash,
  createHmac,
  getHashes,
  getRandomValues,
  Hash,
  hash,
  hkdf,
  hkdfSync,
  Hmac,
  pbkdf2,
  randomBytes,
  randomFill,
  randomFillSync,
  randomInt,
  randomUUID,
  subtle,
  timingSafeEqual,
  webcrypto,
};
