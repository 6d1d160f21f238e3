/**
 * Calls of the Cache API to the node's cache process, over a connection of its own. What the frames say is documented in
 * `router/cache/calls.py`; whose caches they are about is decided there, not here.
 */

import { monotonic } from '../clock.ts';
import { DOMException } from '../dom_exception.ts';
import { currentRequestId } from '../continuation.ts';
import { Body, markUsed } from '../http/body.ts';
import { IncomingBody } from '../http/incoming.ts';
import { type Sender, sendWithBody } from '../http/sending.ts';
import { limitHit } from '../log.ts';
import { NumberMap } from '../number_map.ts';
import { promiseResolve, stringSplit } from '../primordials.ts';
import { type FrameReceiver, readLatin1, readTextOrBytes, readUint32 } from '../ring/input.ts';
import type { Outgoing } from '../ring/outgoing.ts';
import {
  CACHE_CONNECTION,
  CANCEL,
  DATA,
  END,
  MAX_DATA_BYTES,
  MAX_HEAD_BYTES,
  MAX_TEXT_UNITS,
  REFUSE,
  REQUEST,
  RESPONSE,
  sendCancel,
  sendHead,
  WINDOW,
} from '../ring/output.ts';

/** Calls of this isolate under way at once. */
const MOST_CALLS = 1000;
/** Bodies being stored at once that do not fit into a frame; others wait, unread. */
const MOST_STREAMS = 32;
const TELL_MS = 1000;

/** What the cache said: a status, the fields of the head, and a body if there is one. */
export interface Answer {
  status: number;
  fields: string[];
  body: Body | null;
}

class Call implements Sender {
  readonly stream: number;
  outgoing: Outgoing | null = null;
  incoming: IncomingBody | null = null;
  closed = false;
  readonly #requestId = currentRequestId();
  readonly #resolve: (answer: Answer | null) => void;
  readonly #reject: (reason: unknown) => void;

  constructor(stream: number, resolve: (answer: Answer | null) => void, reject: (reason: unknown) => void) {
    this.stream = stream;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  bodySent(): void {}

  bodyFailed(error: unknown): void {
    if (this.closed) return;
    sendCancel(CACHE_CONNECTION, this.stream, 'the body failed');
    this.end(error);
  }

  end(reason?: unknown): void {
    if (this.closed) return;
    this.closed = true;
    calls.delete(this.stream);
    this.outgoing?.close(reason);
    if (reason === undefined) return;
    this.incoming?.fail(reason);
    this.#reject(reason);
  }

  answered(status: number, head: string, body: Body | null, last: boolean): void {
    this.#resolve({ status, fields: stringSplit(head, '\n'), body });
    if (last) this.end();
  }

  /** A body that comes in frames; a list has no head before it. */
  opened(status: number, head: string): void {
    this.incoming = new IncomingBody(CACHE_CONNECTION, this.stream, true, null);
    this.incoming.onCancel = () => this.end();
    this.answered(status, head, new Body(null, this.incoming), false);
  }

  refused(code: string, detail: string): void {
    if (code === 'miss') {
      this.#resolve(null);
      this.end();
    } else if (code === 'quota') {
      tellLimit(detail, this.#requestId);
      this.end(new DOMException(`The cache refused it: ${detail}`, 'QuotaExceededError'));
    } else this.end(new TypeError(`The cache failed: ${detail || code}`));
  }
}

let lastDetail = '';
let lastTold = -Infinity;

/** Tells the app's owner of a limit: of the same one once in a while, since calls are refused by the thousand. */
function tellLimit(detail: string, requestId: string): void {
  const now = monotonic();
  if (detail === lastDetail && now - lastTold < TELL_MS) return;
  lastDetail = detail;
  lastTold = now;
  limitHit('cache', `The Cache API refused a call (limit cache): ${detail}`, requestId);
}

const calls = new NumberMap<Call>();
let lastStream = 0;

export const cacheClient: FrameReceiver = {
  frame(_connection, stream, type, flags, status, at, split, end) {
    const call = calls.get(stream);
    if (call === undefined) return;
    const last = (flags & END) !== 0;
    if (type === RESPONSE) {
      if (last) call.answered(status, readLatin1(at, split), new Body(readTextOrBytes(split, end)), true);
      else call.opened(status, readLatin1(at, split));
    } else if (type === DATA) {
      if (call.incoming === null) call.opened(200, '');
      call.incoming!.arrived(split, end, last);
      if (last) call.end();
    } else if (type === WINDOW) call.outgoing?.grant(readUint32(split));
    else if (type === REFUSE) {
      const fields = stringSplit(readLatin1(at, split), '\n');
      call.refused(fields[0], fields.length > 1 ? fields[1] : '');
    } else if (type === CANCEL) call.end(new TypeError(`The cache failed: ${readLatin1(at, split)}`));
  },

  closed() {
    const open = calls.values();
    for (let i = 0; i < open.length; i++) open[i].end(new TypeError('The connection to the cache was lost'));
  },
};

/** Makes a call; null is a miss. With `body`, the answer comes when it is stored. */
export function ask(head: string, body: Body | null = null): Promise<Answer | null> {
  return new Promise((resolve, reject) => {
    const call = new Call(++lastStream >>> 0, resolve, reject);
    if (calls.size >= MOST_CALLS) {
      call.refused('quota', `${MOST_CALLS} calls are under way, which is the limit`);
      return;
    }
    if (head.length > MAX_HEAD_BYTES) {
      call.refused('quota', `URL and headers are over ${MAX_HEAD_BYTES} bytes`);
      return;
    }
    calls.set(call.stream, call);
    if (body === null) sendHead(CACHE_CONNECTION, call.stream, REQUEST, END, 0, head);
    else sendWithBody(CACHE_CONNECTION, call, head, body);
  });
}

function fitsFrame(source: string | Uint8Array<ArrayBuffer> | null): boolean {
  return source !== null && source.length <= (typeof source === 'string' ? MAX_TEXT_UNITS : MAX_DATA_BYTES);
}

let streams = 0;
let waiting: (() => void)[] = [];

/** As `ask`, for a body that is taken over; not too many long ones at once. */
export async function askWithBody(head: string, given: Body): Promise<Answer | null> {
  const body = new Body(given.source, given.incoming, given.stream);
  if (given.source !== null || given.stream === null) markUsed(given);
  if (fitsFrame(body.source)) return ask(head, body);
  if (streams >= MOST_STREAMS) {
    if (waiting.length >= MOST_CALLS) {
      throw new DOMException(`The cache refused it: ${MOST_CALLS} calls are waiting`, 'QuotaExceededError');
    }
    await new Promise<void>((resolve) => (waiting[waiting.length] = resolve));
  } else streams++;
  try {
    return await ask(head, body);
  } finally {
    const next = waiting.length > 0 ? waiting[0] : null;
    if (next === null) streams--;
    else {
      waiting = waiting.slice(1);
      next();
    }
  }
}

/** All bytes of an answer. */
export function answerBytes(answer: Answer): Promise<Uint8Array<ArrayBuffer>> {
  const body = answer.body;
  return body === null || body.incoming === null ? promiseResolve(new Uint8Array(0)) : body.incoming.collect();
}
