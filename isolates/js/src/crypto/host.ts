/**
 * The cryptographic functions of the host, called by number (`isolates/crypto/functions.py` has the same list) through
 * the scratch buffer (`isolates/crypto/calls.py` has the layout). A slow one runs on a thread of the host, and its reply
 * comes in a later turn: other requests go on meanwhile.
 */

import { DOMException } from '../dom_exception.ts';
import { latin1Decode, latin1Encode } from '../encoding/latin1.ts';
import { perform, resultWord, scratchData, scratchRoom } from '../native.ts';
import { NumberMap } from '../number_map.ts';
import type { FrameReceiver } from '../ring/input.ts';
import {
  min,
  setBytes,
  sliceBytes,
  subarray,
  typedArrayBuffer,
  typedArrayOffset,
  uncurryThis,
} from '../primordials.ts';

export const HMAC = 1;
export const HMAC_VERIFY = 2;
export const CBC = 3;
export const CTR = 4;
export const GCM = 5;
export const KEY_WRAP = 6;
export const OAEP = 7;
export const SIGN = 8;
export const VERIFY = 9;
export const AGREE = 10;
export const HKDF = 11;
export const PBKDF2 = 12;
export const GENERATE_RSA = 13;
export const GENERATE_ON = 14;
export const IMPORT = 15;
export const IMPORT_SCALAR = 16;
export const IMPORT_RSA = 17;
export const EXPORT_RAW = 18;
export const EXPORT_RSA = 19;

/** The direction of ciphers. */
export const DECRYPT = 0;
export const ENCRYPT = 1;

const CALL = 32;
const PREPARE = 33;
const MORE = 34;
const TAKE = 35;

const REFUSALS: Record<number, string> = { [-16]: 'OperationError', [-17]: 'DataError', [-18]: 'NotSupportedError' };
const FIRST_REFUSAL = -16;

export type Bytes = Uint8Array<ArrayBuffer>;
/** Text must be ASCII; a number is a u32. */
export type Field = Uint8Array | string | number;
export type Reply = Bytes[];

interface Waiting {
  resolve(reply: Reply): void;
  reject(error: unknown): void;
}

const waiting = new NumberMap<Waiting>();

/** Calls a function of the host. @throws DOMException when it refuses, maybe by rejecting. */
export function ask(number: number, ...fields: Field[]): Reply | Promise<Reply> {
  return askWith(number, fields);
}

/** As `ask`, for the only field of the reply. */
export async function askOne(number: number, ...fields: Field[]): Promise<Bytes> {
  return (await askWith(number, fields))[0];
}

export function askWith(number: number, fields: Field[]): Reply | Promise<Reply> {
  const size = sizeOf(fields);
  const room = scratchRoom();
  if (size <= room) {
    write(scratchData(size), number, fields);
    return answer(perform(CALL, size));
  }
  const request = new Uint8Array(size);
  write(request, number, fields);
  let at = 0;
  for (; size - at > room; at += room) {
    setBytes(scratchData(room), subarray(request, at, at + room));
    if (perform(PREPARE, room) < 0) throw new DOMException('The data is too large', 'OperationError');
  }
  setBytes(scratchData(size - at), subarray(request, at, size));
  return answer(perform(CALL, size - at));
}

function takeDone(): void {
  for (;;) {
    const code = perform(TAKE);
    const ticket = resultWord(2);
    if (ticket === 0) return;
    const waiter = waiting.get(ticket);
    waiting.delete(ticket);
    try {
      const reply = read(code);
      waiter?.resolve(reply);
    } catch (error) {
      waiter?.reject(error);
    }
  }
}

function answer(code: number): Reply | Promise<Reply> {
  const ticket = code < 0 ? 0 : resultWord(2);
  if (ticket === 0) return read(code);
  return new Promise<Reply>((resolve, reject) => {
    waiting.set(ticket, { resolve, reject });
  });
}

function sizeOf(fields: Field[]): number {
  let size = 4;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i];
    size += 4 + (typeof field === 'number' ? 4 : field.length);
  }
  return size;
}

const setUint32 = uncurryThis(DataView.prototype.setUint32);
const getUint32 = uncurryThis(DataView.prototype.getUint32);

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(typedArrayBuffer(bytes), typedArrayOffset(bytes), bytes.length);
}

function write(target: Uint8Array, number: number, fields: Field[]): void {
  const view = viewOf(target);
  setUint32(view, 0, number, true);
  let at = 4;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i];
    const size = typeof field === 'number' ? 4 : field.length;
    setUint32(view, at, size, true);
    at += 4;
    if (typeof field === 'number') setUint32(view, at, field, true);
    else if (typeof field === 'string') latin1Encode(field, target, at);
    else setBytes(target, field, at);
    at += size;
  }
}

/** The reply of the last operation. */
function read(code: number): Reply {
  if (code < 0 && code > FIRST_REFUSAL) {
    throw new DOMException('The host does not offer this operation', 'NotSupportedError');
  }
  const size = resultWord(1);
  const room = scratchRoom();
  let data = scratchData(min(size, room));
  if (size > room) {
    const whole = new Uint8Array(size);
    setBytes(whole, data);
    for (let at = room; at < size;) {
      perform(MORE, at);
      const count = resultWord(1);
      setBytes(whole, scratchData(count), at);
      at += count;
    }
    data = whole;
  }
  if (code < 0) throw new DOMException(latin1Decode(data, 0, size), REFUSALS[code]);
  const view = viewOf(data);
  const reply: Reply = [];
  for (let at = 0; at < size;) {
    const start = at + 4;
    at = start + getUint32(view, at, true);
    reply[reply.length] = sliceBytes(data, start, at);
  }
  return reply;
}

/** What the ring tells of the host itself: a segment without frames says that functions on its threads are done. */
export const operations: FrameReceiver = { frame() {}, closed: takeDone };
