/** A body on its way out in DATA frames, within the window that the other side grants. */

import { utf8Length } from '../encoding/utf8.ts';
import { giveBack } from '../http/body_buffers.ts';
import { charCodeAt, min, stringSlice, uncurryThis } from '../primordials.ts';
import { type ReadableStream, streamInterfaces } from '../streams.ts';
import { isUint8Array } from '../webidl.ts';
import { DATA, END, MAX_DATA_BYTES, sendData, sendHeadAndText, WINDOW_BYTES } from './output.ts';

const { ReadableStreamDefaultReader } = streamInterfaces;
type Reader = InstanceType<typeof ReadableStreamDefaultReader>;
const read = uncurryThis(ReadableStreamDefaultReader.prototype.read) as unknown as (
  reader: Reader,
) => Promise<{ done: boolean; value: unknown }>;
const cancel = uncurryThis(ReadableStreamDefaultReader.prototype.cancel) as unknown as (
  reader: Reader,
  reason: unknown,
) => Promise<void>;

/** A smaller window is saved up: otherwise small grants would make small frames, and those small grants again. */
const LEAST_WINDOW = 16 << 10;

const EMPTY = new Uint8Array(0);

/** Who has to know how it ended. Exactly one of the two is called, at most once. */
export interface OutgoingOwner {
  /** END was sent. */
  bodySent(): void;
  /** The app's stream failed, or gave something that is not bytes. */
  bodyFailed(error: unknown): void;
}

/** The body is a stream that gave more bytes than it may. */
export class BodyTooLarge extends Error {}

export class Outgoing {
  readonly #connection: number;
  readonly #stream: number;
  readonly #owner: OutgoingOwner;
  #credit: number;
  #pending: Uint8Array | null = null;
  #at = 0;
  #text: string | null = null;
  /** The pending bytes are the last. */
  #last = false;
  #closed = false;
  /** What is to be given back to `body_buffers.ts`. */
  #borrowed: Uint8Array<ArrayBuffer> | null = null;
  #reader: Reader | null = null;
  #resume: (() => void) | null = null;

  /** `sent`: bytes that went with the head already, less what was granted besides the usual window. */
  constructor(connection: number, stream: number, owner: OutgoingOwner, sent: number) {
    this.#connection = connection;
    this.#stream = stream;
    this.#owner = owner;
    this.#credit = WINDOW_BYTES - sent;
  }

  /** Sends `data` from `at` on, which is all there is. What it is in goes back to `body_buffers.ts` afterwards. */
  sendAll(data: Uint8Array, at: number, borrowed: Uint8Array<ArrayBuffer> | null = null): void {
    this.#borrowed = borrowed;
    this.#pending = data;
    this.#at = at;
    this.#last = true;
    this.#advance();
  }

  /** Sends a text in UTF-8, which is all there is, without an array of its own for it. */
  sendText(text: string): void {
    this.#text = text;
    this.#at = 0;
    this.#advanceText(text);
  }

  /** Reads `stream` to its end and sends what it gives; above `most` bytes the body fails with `BodyTooLarge`. */
  async sendStream(stream: ReadableStream<unknown>, most: number = Infinity): Promise<void> {
    let left = most;
    const reader = stream.getReader() as unknown as Reader;
    this.#reader = reader;
    try {
      for (;;) {
        const { done, value } = await read(reader);
        if (this.#closed) return;
        if (done) break;
        if (!isUint8Array(value)) throw new TypeError('The body is a stream that gave something other than bytes');
        if (value.length === 0) continue;
        left -= value.length;
        if (left < 0) throw new BodyTooLarge();
        this.#pending = value;
        this.#at = 0;
        if (!this.#advance()) {
          await new Promise<void>((resolve) => {
            this.#resume = resolve;
          });
          if (this.#closed) return;
        }
      }
    } catch (error) {
      if (this.#closed) return;
      this.#closed = true;
      cancel(reader, error).catch(ignore);
      this.#owner.bodyFailed(error);
      return;
    }
    this.#finish(EMPTY, 0);
  }

  /** The other side takes `credit` more bytes. */
  grant(credit: number): void {
    this.#credit += credit;
    if (this.#text !== null && !this.#closed) this.#advanceText(this.#text);
    if (this.#pending === null || this.#closed || !this.#advance()) return;
    const resume = this.#resume;
    this.#resume = null;
    resume?.();
  }

  /** Nothing more can be sent; the app's stream is cancelled with `reason`. */
  close(reason: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#pending = null;
    this.#text = null;
    this.#returnBorrowed();
    if (this.#reader !== null) cancel(this.#reader, reason).catch(ignore);
    this.#resume?.();
    this.#resume = null;
  }

  /** Sends what the window allows of the pending bytes; true when none are left. */
  #advance(): boolean {
    const data = this.#pending!;
    const { length } = data;
    while (this.#at < length && this.#credit >= min(length - this.#at, LEAST_WINDOW)) {
      const size = min(min(length - this.#at, this.#credit), MAX_DATA_BYTES);
      this.#credit -= size;
      if (this.#last && this.#at + size === length) {
        this.#finish(data, this.#at);
        return true;
      }
      sendData(this.#connection, this.#stream, 0, data, this.#at, this.#at + size);
      this.#at += size;
    }
    if (this.#at < length) return false;
    this.#pending = null;
    return true;
  }

  /** As `#advance`, for a text. A frame takes 64 Ki units of ASCII, and fewer of anything longer. */
  #advanceText(text: string): void {
    const { length } = text;
    while (this.#at < length) {
      const limit = min(MAX_DATA_BYTES, this.#credit);
      let piece = textPiece(text, this.#at, MAX_DATA_BYTES);
      let size = utf8Length(piece);
      if (size > limit) {
        if (limit < LEAST_WINDOW) return;
        piece = fittingPiece(text, this.#at, piece.length, size, limit);
        size = utf8Length(piece);
      }
      this.#credit -= size;
      this.#at += piece.length;
      const last = this.#at === length;
      sendHeadAndText(this.#connection, this.#stream, DATA, last ? END : 0, 0, '', piece);
    }
    this.#closed = true;
    this.#text = null;
    this.#owner.bodySent();
  }

  #returnBorrowed(): void {
    if (this.#borrowed === null) return;
    giveBack(this.#borrowed);
    this.#borrowed = null;
  }

  #finish(data: Uint8Array, at: number): void {
    this.#closed = true;
    this.#pending = null;
    sendData(this.#connection, this.#stream, END, data, at, data.length);
    this.#returnBorrowed();
    this.#owner.bodySent();
  }
}

/** Up to `units` units of `text` from `at` on, never half of a surrogate pair. */
function textPiece(text: string, at: number, units: number): string {
  let end = min(text.length, at + units);
  if (end < text.length && (charCodeAt(text, end - 1) & 0xfc00) === 0xd800) end--;
  return stringSlice(text, at, end);
}

/** A piece from `at` on of at most `limit` bytes, as long as can be told from `units` units having `size` bytes. */
function fittingPiece(text: string, at: number, units: number, size: number, limit: number): string {
  const guess = textPiece(text, at, (units * (limit / size)) | 0);
  return utf8Length(guess) <= limit ? guess : textPiece(text, at, (limit / 3) | 0);
}

function ignore(): void {}
