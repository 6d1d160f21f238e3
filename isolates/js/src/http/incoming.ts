/**
 * The body of a request or a subrequest's response while it arrives in frames, with its flow control: the other side
 * may send `WINDOW_BYTES` before it is granted more, and is granted what has been consumed.
 */

import { concatBytes } from '../blob.ts';
import { passedThrough } from '../garbage.ts';
import { type Block, flushOutput, lendBlock, putBlockBack, takeBlock } from '../native.ts';
import { max, min, promiseReject, promiseResolve, setBytes, sliceBytes, subarray } from '../primordials.ts';
import { copyBytes, readBytes } from '../ring/input.ts';
import { sendCancel, sendPlace, sendWindow, WINDOW_BYTES } from '../ring/output.ts';
import { ReadableStream } from '../streams.ts';
import { putBackLater } from './placed_blocks.ts';

/** Granting in small pieces would cost a frame each. */
const GRANT_BYTES = 64 << 10;
/** Larger ones may be held back until they are asked for. */
const HELD_BYTES = WINDOW_BYTES;

/** A body that says to be no larger is collected in one piece: an array per frame costs V8 two page faults a kilobyte. */
const MAX_EXPECTED_BYTES = 4 << 20;
/** And from here on in memory that was used before. */
const MIN_BLOCK_BYTES = 64 << 10;

/**
 * So much may be under way beyond the windows, for all bodies together: one that is collected has memory for all of it,
 * and on its own would otherwise wait for grants. Among many, others arrive meanwhile.
 */
const AHEAD_BYTES = 4 << 20;
let ahead = 0;

interface ByteController {
  enqueue(chunk: Uint8Array): void;
  close(): void;
  error(reason: unknown): void;
  readonly byobRequest: { respond(bytes: number): void } | null;
}

export class IncomingBody {
  readonly #connection: number;
  readonly #stream: number;
  readonly #cancelRemote: boolean;
  readonly #expected: number;
  #chunks: Uint8Array<ArrayBuffer>[] = [];
  /** Where a body of known size is collected, and how far it is filled. */
  #whole: Uint8Array<ArrayBuffer> | null = null;
  #block: Block | null = null;
  #filled = 0;
  /** The other side may be waiting to be asked for it. */
  #held: boolean;
  /** The edge worker may write to the block. */
  #placed = false;
  #ended = false;
  #failed = false;
  #error: unknown = undefined;
  #consumed = 0;
  /** What the other side may send. */
  #credit = WINDOW_BYTES;
  /** How much of it is beyond the window. */
  #ahead = 0;
  #controller: ByteController | null = null;
  #wanted = false;
  #collecting: { resolve(bytes: Uint8Array<ArrayBuffer>): void; reject(reason: unknown): void } | null = null;
  #onCancel: (() => void) | null = null;

  /**
   * `cancelRemote`: cancelling the body sends CANCEL (a subrequest's response), else it is only ignored.
   * `length`: the Content-Length, which need not be true.
   */
  constructor(connection: number, stream: number, cancelRemote: boolean, length: string | null) {
    this.#connection = connection;
    this.#stream = stream;
    this.#cancelRemote = cancelRemote;
    this.#expected = length === null ? NaN : +length;
    this.#held = !cancelRemote && this.#expected > HELD_BYTES && this.#expected <= MAX_EXPECTED_BYTES;
  }

  /** Called when the app cancels the body before its end. */
  set onCancel(callback: () => void) {
    this.#onCancel = callback;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** All that had not arrived was written to the block. */
  placed(): void {
    if (this.#ended || this.#failed) return;
    this.#placed = false;
    this.#filled = this.#expected;
    this.#ended = true;
    this.#finishCollecting();
  }

  /** Bytes arrived, which are at `[at, end)` of the ring's input. */
  arrived(at: number, end: number, last: boolean): void {
    if (this.#ended || this.#failed) return;
    if (last) this.#placed = false;
    this.#held = false;
    this.#credit -= end - at;
    const whole = this.#whole;
    if (whole === null || this.#chunks.length > 0 || this.#filled + (end - at) > this.#expected) {
      passedThrough(end - at);
      this.#push(readBytes(at, end), last);
      return;
    }
    copyBytes(at, end, whole, this.#filled);
    this.#filled += end - at;
    if (last) {
      this.#ended = true;
      this.#finishCollecting();
    } else this.#consume(end - at);
  }

  #push(bytes: Uint8Array<ArrayBuffer>, last: boolean): void {
    if (last) this.#ended = true;
    if (this.#collecting !== null) {
      if (bytes.length > 0) this.#chunks[this.#chunks.length] = bytes;
      if (last) this.#finishCollecting();
      else this.#consume(bytes.length);
    } else if (this.#controller !== null) {
      if (bytes.length > 0) this.#chunks[this.#chunks.length] = bytes;
      if (this.#wanted) this.#feed();
      if (last && this.#chunks.length === 0) this.#close();
    } else if (bytes.length > 0) this.#chunks[this.#chunks.length] = bytes;
  }

  /** The rest will not come. */
  fail(reason: unknown): void {
    if (this.#ended || this.#failed) return;
    this.#failed = true;
    this.#error = reason;
    this.#chunks = [];
    this.#dropWhole();
    this.#controller?.error(reason);
    this.#controller = null;
    this.#collecting?.reject(reason);
    this.#collecting = null;
  }

  /** All of the body. Call once, and not after `toStream`. */
  collect(): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#failed) return promiseReject(this.#error);
    if (this.#ended) return promiseResolve(this.#take());
    let held = 0;
    for (let i = 0; i < this.#chunks.length; i++) held += this.#chunks[i].length;
    if (this.#expected > held && this.#expected <= MAX_EXPECTED_BYTES) {
      const whole = this.#makeWhole();
      for (let i = 0; i < this.#chunks.length; i++) {
        setBytes(whole, this.#chunks[i], this.#filled);
        this.#filled += this.#chunks[i].length;
      }
      this.#chunks = [];
      this.#whole = whole;
      if (this.#block !== null && this.#block.offset >= 0) this.#place(this.#block, held);
      else this.#grantAhead(held);
    }
    this.#consume(held);
    this.#ask();
    // The rest of what came in this turn has yet to be copied: meanwhile more can be under way.
    if (this.#ahead > 0) flushOutput();
    return new Promise((resolve, reject) => {
      this.#collecting = { resolve, reject };
    });
  }

  /** The body as a byte stream. Call once. */
  toStream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>({
      type: 'bytes',
      start: (controller) => {
        this.#controller = controller as unknown as ByteController;
        if (this.#failed) controller.error(this.#error);
        else if (this.#ended && this.#chunks.length === 0) this.#close();
      },
      pull: () => {
        this.#wanted = true;
        this.#feed();
      },
      cancel: () => this.cancel(),
    });
  }

  /** The app wants no more of it. */
  cancel(): void {
    if (this.#failed) return;
    this.#controller = null;
    this.#chunks = [];
    if (this.#ended) return;
    this.#failed = true;
    this.#error = new TypeError('The body was cancelled');
    if (this.#cancelRemote) sendCancel(this.#connection, this.#stream, 'body cancelled');
    this.#onCancel?.();
  }

  #feed(): void {
    const controller = this.#controller;
    if (controller === null) return;
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#wanted = false;
      this.#consume(chunk.length);
      controller.enqueue(chunk);
    } else this.#ask();
    if (this.#ended && this.#chunks.length === 0) this.#close();
  }

  #close(): void {
    const controller = this.#controller;
    if (controller === null) return;
    this.#controller = null;
    controller.close();
    controller.byobRequest?.respond(0);
  }

  #finishCollecting(): void {
    const waiting = this.#collecting!;
    this.#collecting = null;
    waiting.resolve(this.#take());
  }

  #take(): Uint8Array<ArrayBuffer> {
    const chunks = this.#chunks;
    this.#chunks = [];
    const whole = this.#whole;
    if (whole === null) return chunks.length === 1 ? chunks[0] : concatBytes(chunks);
    // A block holds what was in it before: the app gets one only when all that it gets was written.
    const complete = this.#filled === this.#expected && chunks.length === 0;
    const bytes = complete ? this.#lendWhole(whole) : concatBytes([subarray(whole, 0, this.#filled), ...chunks]);
    this.#dropWhole();
    return bytes;
  }

  /** Where the body is to be collected: of its size, or a block that is larger. */
  #makeWhole(): Uint8Array<ArrayBuffer> {
    if (this.#expected > MIN_BLOCK_BYTES) this.#block = takeBlock(this.#expected, this.#connection);
    return this.#block !== null ? this.#block.bytes : new Uint8Array(this.#expected);
  }

  #lendWhole(whole: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (this.#block === null) return whole;
    const lent = lendBlock(this.#block, this.#filled);
    if (lent === null) return sliceBytes(whole, 0, this.#filled);
    this.#block = null;
    return lent;
  }

  #dropWhole(): void {
    this.#whole = null;
    ahead -= this.#ahead;
    this.#ahead = 0;
    if (this.#block !== null) {
      if (this.#placed) putBackLater(this.#connection, this.#stream, this.#block);
      else putBlockBack(this.#block);
    }
    this.#block = null;
  }

  /** Asks for the body if nothing of it came. */
  #ask(): void {
    if (!this.#held) return;
    this.#held = false;
    sendWindow(this.#connection, this.#stream, 0);
  }

  /** Has the rest of the body written to its block, or sent at once. */
  #place(block: Block, held: number): void {
    const missing = max(0, this.#expected - held - this.#credit);
    // Without, all of it is under way; or it is held until it is asked for.
    if (missing === 0 && !this.#held) return;
    this.#held = false;
    this.#placed = true;
    this.#credit += missing;
    sendPlace(this.#connection, this.#stream, missing, block.offset);
  }

  /** Grants the rest of the body at once, as far as may be. */
  #grantAhead(held: number): void {
    this.#ahead = max(0, min(this.#expected - held - WINDOW_BYTES, AHEAD_BYTES - ahead));
    ahead += this.#ahead;
    this.#consumed += this.#ahead;
  }

  #consume(size: number): void {
    this.#consumed += size;
    if (this.#consumed < GRANT_BYTES || this.#ended) return;
    const missing = this.#whole === null ? 0 : this.#expected - this.#filled;
    // All of it may come already. If more does, that is granted again.
    if (missing > 0 && missing <= this.#credit) return;
    this.#held = false;
    this.#credit += this.#consumed;
    sendWindow(this.#connection, this.#stream, this.#consumed);
    this.#consumed = 0;
  }
}
