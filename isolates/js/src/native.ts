/**
 * The operations that the host performs for the platform: request and answer in the scratch buffer.
 *
 * i32[0] is the operation and, on return, 0 or a negative error; i32[1…7] are arguments and results; data from byte 64.
 */

import { detachBuffer, setBytes, sliceBytes, subarray, typedArrayBuffer, Uint8ArrayCtor } from './primordials.ts';

/** What the host hands to boot. */
export interface Native {
  input: ArrayBuffer;
  output: ArrayBuffer;
  scratch: ArrayBuffer;
  /** Called without a receiver: a function in between would be on every stack that is captured in a microtask. */
  poll: (this: void) => void;
  call(): void;
  importModule(specifier: string): Promise<Record<string, unknown>>;
  getContinuation?(): unknown;
  setContinuation?(value: unknown): void;
  /** Set by boot: the host calls them about promises that are rejected while nobody listens. */
  onRejected?(promise: Promise<unknown>, reason: unknown): void;
  onHandled?(promise: Promise<unknown>): void;
  /** For the modules that come with the platform. */
  values?: object;
  /** The namespace that REQUIRE left. */
  required?: Record<string, unknown> | null;
  /** The ArrayBuffer that TAKE_BLOCK, LEND_BLOCK or BORROW_BLOCK left. */
  block?: ArrayBuffer | null;
}

const FLUSH = 1;
const RANDOM = 2;
const DIGEST = 3;
const DIGEST_NEW = 4;
const DIGEST_UPDATE = 5;
const DIGEST_FINAL = 6;
const READ_FILE = 7;
/** Runs the microtasks that are ready. */
const CHECKPOINT = 8;
const REQUIRE = 9;
const TAKE_BLOCK = 10;
const LEND_BLOCK = 11;
const PUT_BLOCK_BACK = 12;
const COLLECT = 13;
const BORROW_BLOCK = 14;
const TAKE_BLOCK_BACK = 15;

const DATA_AT = 64;

let native: Native;
let words = new Int32Array(0);
let bytes = new Uint8Array(0);
let call: () => void = () => {};

/** Called at boot. */
export function useNative(given: Native): void {
  native = given;
  words = new Int32Array(given.scratch, 0, 16);
  bytes = new Uint8Array(given.scratch);
  call = () => native.call();
  // Its own from now on: no setter that an app puts on Object.prototype is called.
  given.block = null;
}

/** Performs `operation`; returns 0 or a negative error. */
export function perform(operation: number, first = 0, second = 0): number {
  words[0] = operation;
  words[1] = first;
  words[2] = second;
  call();
  return words[0];
}

/** A result of the last operation: i32[index]. */
export function resultWord(index: number): number {
  return words[index];
}

/** The data of the next operation, or of the last one's result: a view, not a copy. */
export function scratchData(size: number): Uint8Array<ArrayBuffer> {
  return subarray(bytes, DATA_AT, DATA_AT + size);
}

/** The most bytes that one operation takes or gives. */
export function scratchRoom(): number {
  return bytes.length - DATA_AT;
}

export function flushOutput(): void {
  perform(FLUSH);
}

/** Fills `target` with cryptographically strong random bytes. */
export function fillRandom(target: Uint8Array): void {
  for (let at = 0; at < target.length;) {
    const count = Math.min(target.length - at, scratchRoom());
    if (perform(RANDOM, count) < 0) throw new Error('The host gave no random bytes');
    setBytes(target, subarray(bytes, DATA_AT, DATA_AT + count), at);
    at += count;
  }
}

/** The digest of `data`; `algorithm` is 1, 256, 384 or 512. */
export function digest(algorithm: number, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const room = scratchRoom();
  if (data.length <= room) {
    setBytes(bytes, data, DATA_AT);
    return digestResult(perform(DIGEST, algorithm, data.length));
  }
  check(perform(DIGEST_NEW, algorithm));
  const handle = words[1];
  for (let at = 0; at < data.length; at += room) {
    const piece = subarray(data, at, Math.min(at + room, data.length));
    setBytes(bytes, piece, DATA_AT);
    check(perform(DIGEST_UPDATE, handle, piece.length));
  }
  return digestResult(perform(DIGEST_FINAL, handle));
}

function check(status: number): void {
  if (status < 0) throw new Error(`The host refused a digest (${status})`);
}

function digestResult(status: number): Uint8Array<ArrayBuffer> {
  check(status);
  return sliceBytes(bytes, DATA_AT, DATA_AT + words[1]);
}

/** A file of the package, or null when there is none at `path`. */
export function readFile(path: Uint8Array): Uint8Array<ArrayBuffer> | null {
  let content = new Uint8Array(0);
  let at = 0;
  do {
    setBytes(bytes, path, DATA_AT);
    if (perform(READ_FILE, path.length, at) < 0) return null;
    if (at === 0) content = new Uint8Array(words[1]);
    const count = Math.min(content.length - at, scratchRoom());
    setBytes(content, subarray(bytes, DATA_AT, DATA_AT + count), at);
    at += count;
  } while (at < content.length);
  return content;
}

/** The namespace of a module that comes with the platform, evaluated now; null without one of that name. */
export function requireModule(name: Uint8Array): Record<string, unknown> | null {
  if (name.length > scratchRoom()) return null;
  setBytes(bytes, name, DATA_AT);
  native.required = null;
  perform(REQUIRE, name.length);
  return native.required;
}

/** Memory that was used before, to be filled. It has a number and at least the room that was asked for. */
export interface Block {
  readonly number: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where it is in the memory of the edge worker at the other end of the connection; -1 if it is not. */
  readonly offset: number;
}

/**
 * A block for so many bytes that come over a connection, or null: then new memory must do. To be given to `lendBlock`
 * or `putBlockBack`.
 */
export function takeBlock(size: number, connection: number): Block | null {
  native.block = null;
  if (perform(TAKE_BLOCK, size, connection) < 0 || native.block === null) return null;
  return { number: words[1], bytes: new Uint8Array(native.block), offset: words[2] };
}

/**
 * The first `size` bytes of a block, all of which must have been written, as an array for the app. Null: the host
 * could not, and the block is still the caller's.
 */
export function lendBlock(block: Block, size: number): Uint8Array<ArrayBuffer> | null {
  native.block = null;
  if (perform(LEND_BLOCK, block.number, size) < 0 || native.block === null) return null;
  const bytes = new Uint8Array(native.block);
  native.block = null;
  return bytes;
}

export function putBlockBack(block: Block): void {
  perform(PUT_BLOCK_BACK, block.number);
}

/** A block lent to the platform: `bytes` has exactly the size asked for. */
export interface BorrowedBlock extends Block {
  /** Whose edge worker's memory it is in, if it is in any. */
  readonly connection: number;
}

/**
 * A block to be filled with all of `size` bytes, or null: then new memory must do. To be given to `returnBlock` once
 * nobody needs the bytes; whoever forgets them altogether, V8's collector does it for.
 */
export function borrowBlock(size: number, connection: number): BorrowedBlock | null {
  native.block = null;
  if (perform(BORROW_BLOCK, size, connection) < 0 || native.block === null) return null;
  const block = { number: words[1], bytes: new Uint8ArrayCtor(native.block), offset: words[2], connection };
  native.block = null;
  return block;
}

/** Takes the bytes away from whoever still has them. */
export function returnBlock(block: Block): void {
  detachBuffer(typedArrayBuffer(block.bytes), 0);
  perform(TAKE_BLOCK_BACK, block.number);
}

/** Finds what died young. */
export function collectYoung(): void {
  perform(COLLECT);
}

let canCheckpoint = true;

/** Runs the microtasks now; false when this host cannot, and a poll must do it. */
export function runMicrotasks(): boolean {
  if (canCheckpoint && perform(CHECKPOINT) < 0) canCheckpoint = false;
  return canCheckpoint;
}
