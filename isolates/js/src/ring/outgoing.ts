/** A body on its way out in DATA frames, within the window that the other side grants. */

import { utf8Length } from '../encoding/utf8.ts';
import { passedThrough } from '../garbage.ts';
import { charCodeAt, max, min, stringSlice } from '../primordials.ts';
import { cancelReader, type ReadableStream, type Reader, readerOf, readFrom } from '../streams.ts';
import { isUint8Array } from '../webidl.ts';
import { DATA, END, MAX_DATA_BYTES, sendData, sendHeadAndText, WINDOW_BYTES } from './output.ts';

/** A smaller window is saved up: otherwise small grants would make small frames, and those small grants again. */
const LEAST_WINDOW = 16 << 10;

/**
 * How much all bodies together may have under way before each gets by with less of its window. Apps make bodies faster
 * than clients take them, and what is under way is memory that no cache holds: with whole windows for 128 streams of
 * 1 MB, half of the time went there. A body on its own needs more, since grants come late.
 */
const UNDER_WAY_BYTES = 4 << 20;
/** Even among many. More than what the other side lets come together before it grants it, `GRANT_BYTES`. */
const LEAST_SHARE = 64 << 10;

/** Bodies that are not sent yet. */
let bodies = 0;

/** What a body may not use of its window, for the sake of the others. */
function reserve(): number {
  return WINDOW_BYTES - max(LEAST_SHARE, min(WINDOW_BYTES, (UNDER_WAY_BYTES / bodies) | 0));
}

const EMPTY = new Uint8Array(0);

/** A response's body, however it is sent. */
export interface OutgoingBody {
  /** The other side takes so many bytes more. */
  grant(credit: number): void;
  /** Nobody waits for it any more. */
  close(reason: unknown): void;
}

/** Who has to know how it ended. Exactly one of the two is called, at most once. */
export interface OutgoingOwner {
  /** END was sent. */
  bodySent(): void;
  /** The app's stream failed, or gave something that is not bytes. */
  bodyFailed(error: unknown): void;
}

/** The body is a stream that gave more bytes than it may. */
export class BodyTooLarge extends Error {}

export class Outgoing implements OutgoingBody {
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
  /** Called when no byte of an array is needed any more. */
  #onSent: (() => void) | null = null;
  #reader: Reader | null = null;
  #resume: (() => void) | null = null;

  /** `sent`: bytes that went with the head already, less what was granted besides the usual window. */
  constructor(connection: number, stream: number, owner: OutgoingOwner, sent: number) {
    this.#connection = connection;
    this.#stream = stream;
    this.#owner = owner;
    this.#credit = WINDOW_BYTES - sent;
    bodies++;
  }

  /** Sends `data` from `at` on, which is all there is. `onSent` is called when it is needed no more. */
  sendAll(data: Uint8Array, at: number, onSent: (() => void) | null = null): void {
    this.#onSent = onSent;
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
    try {
      // It throws for an object that merely inherits from a stream.
      const reader = (this.#reader = readerOf(stream));
      for (;;) {
        const { done, value } = await readFrom(reader);
        if (this.#closed) return;
        if (done) break;
        if (!isUint8Array(value)) throw new TypeError('The body is a stream that gave something other than bytes');
        if (value.length === 0) continue;
        passedThrough(value.length);
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
      this.#end();
      if (this.#reader !== null) cancelReader(this.#reader, error).catch(ignore);
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
    this.#end();
    this.#pending = null;
    this.#text = null;
    this.#letGo();
    if (this.#reader !== null) cancelReader(this.#reader, reason).catch(ignore);
    this.#resume?.();
    this.#resume = null;
  }

  /** Sends what the window allows of the pending bytes; true when none are left. */
  #advance(): boolean {
    const data = this.#pending!;
    const { length } = data;
    const kept = reserve();
    while (this.#at < length && this.#credit - kept >= min(length - this.#at, LEAST_WINDOW)) {
      const size = min(min(length - this.#at, this.#credit - kept), MAX_DATA_BYTES);
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
    const kept = reserve();
    while (this.#at < length) {
      const limit = min(MAX_DATA_BYTES, this.#credit - kept);
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
    this.#end();
    this.#text = null;
    this.#owner.bodySent();
  }

  #letGo(): void {
    this.#onSent?.();
    this.#onSent = null;
  }

  #end(): void {
    this.#closed = true;
    bodies--;
  }

  #finish(data: Uint8Array, at: number): void {
    this.#end();
    this.#pending = null;
    sendData(this.#connection, this.#stream, END, data, at, data.length);
    this.#letGo();
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
