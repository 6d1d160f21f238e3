/** A body on its way out in DATA frames, within the window that the other side grants. */

import { min, uncurryThis } from '../primordials.ts';
import { type ReadableStream, streamInterfaces } from '../streams.ts';
import { isUint8Array } from '../webidl.ts';
import { END, MAX_DATA_BYTES, sendData, WINDOW_BYTES } from './output.ts';

const { ReadableStreamDefaultReader } = streamInterfaces;
type Reader = InstanceType<typeof ReadableStreamDefaultReader>;
const read = uncurryThis(ReadableStreamDefaultReader.prototype.read) as unknown as (
  reader: Reader,
) => Promise<{ done: boolean; value: unknown }>;
const cancel = uncurryThis(ReadableStreamDefaultReader.prototype.cancel) as unknown as (
  reader: Reader,
  reason: unknown,
) => Promise<void>;

const EMPTY = new Uint8Array(0);

/** Who has to know how it ended. Exactly one of the two is called, at most once. */
export interface OutgoingOwner {
  /** END was sent. */
  bodySent(): void;
  /** The app's stream failed, or gave something that is not bytes. */
  bodyFailed(error: unknown): void;
}

export class Outgoing {
  readonly #connection: number;
  readonly #stream: number;
  readonly #owner: OutgoingOwner;
  #credit: number;
  #pending: Uint8Array | null = null;
  #at = 0;
  /** The pending bytes are the last. */
  #last = false;
  #closed = false;
  #reader: Reader | null = null;
  #resume: (() => void) | null = null;

  /** `sent`: bytes that went with the head already, less what was granted besides the usual window. */
  constructor(connection: number, stream: number, owner: OutgoingOwner, sent: number) {
    this.#connection = connection;
    this.#stream = stream;
    this.#owner = owner;
    this.#credit = WINDOW_BYTES - sent;
  }

  /** Sends `data` from `at` on, which is all there is. */
  sendAll(data: Uint8Array, at: number): void {
    this.#pending = data;
    this.#at = at;
    this.#last = true;
    this.#advance();
  }

  /** Reads `stream` to its end and sends what it gives. */
  async sendStream(stream: ReadableStream<unknown>): Promise<void> {
    const reader = stream.getReader() as unknown as Reader;
    this.#reader = reader;
    try {
      for (;;) {
        const { done, value } = await read(reader);
        if (this.#closed) return;
        if (done) break;
        if (!isUint8Array(value)) throw new TypeError('The body is a stream that gave something other than bytes');
        if (value.length === 0) continue;
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
    if (this.#reader !== null) cancel(this.#reader, reason).catch(ignore);
    this.#resume?.();
    this.#resume = null;
  }

  /** Sends what the window allows of the pending bytes; true when none are left. */
  #advance(): boolean {
    const data = this.#pending!;
    const { length } = data;
    while (this.#at < length && this.#credit > 0) {
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

  #finish(data: Uint8Array, at: number): void {
    this.#closed = true;
    this.#pending = null;
    sendData(this.#connection, this.#stream, END, data, at, data.length);
    this.#owner.bodySent();
  }
}

function ignore(): void {}
