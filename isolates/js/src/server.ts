/**
 * The app's side of requests: REQUEST frames in, the handler, RESPONSE frames out.
 *
 * A request whose handler answers at once costs no stream, no timer and no entry in a table. Everything else is added
 * when it is needed: a promise puts the exchange into its connection's table and into the list of deadlines.
 */

import { Background, giveUp } from './background.ts';
import { turnStart } from './clock.ts';
import { setContinuation, type Flow, type Origin, type Stores } from './continuation.ts';
import { DOMException } from './dom_exception.ts';
import { abortSignal, type AbortSignal, newSignal } from './events/abort.ts';
import { ExecutionContext } from './execution_context.ts';
import { Body } from './http/body.ts';
import { listGet } from './http/headers.ts';
import { IncomingBody } from './http/incoming.ts';
import { connectionLost, lastWord } from './http/placed_blocks.ts';
import { newRequest, type Request, RequestState, type SignalSource } from './http/request.ts';
import { responseState } from './http/response.ts';
import { inspectError } from './inspect.ts';
import { type Entry, InFlight } from './in_flight.ts';
import { ERROR, limitHit, limitHitAgain, log } from './log.ts';
import { stringIndexOf, stringSlice } from './primordials.ts';
import { checkRealm } from './realm.ts';
import { type Answerable, configureResponses, cutOff, refuse, respond, upgrades } from './respond.ts';
import { Admission, START, WAIT } from './ring/admission.ts';
import { type FrameReceiver, readLatin1, readTextOrBytes, readUint32 } from './ring/input.ts';
import { BodyTooLarge, type OutgoingBody } from './ring/outgoing.ts';
import { CANCEL, Counter, DATA, END, PLACED, REQUEST, sendCancel, setCounter, UPGRADE, WINDOW } from './ring/output.ts';
import { configureSockets, FULL, hasRoom, socketFrame, socketsLost } from './websocket/wire.ts';

/** The app, once its main module is evaluated. */
export interface Handler {
  fetch(request: Request, env: unknown, ctx: unknown): unknown;
}

export interface ServerLimits {
  wall_ms: number;
  max_concurrent_requests: number;
  queue_ms: number;
  /** MiB; 0 and absent: no limit. */
  response_mb?: number;
  subrequests?: number;
  /** Of one run of a cron. */
  cron_wall_ms?: number;
  /** Absent: a thousand. */
  max_websockets?: number;
  /** Absent: 1024. */
  websocket_message_kb?: number;
}

/** The edge answers at the deadline itself; the host drops what is left a little later. */
const DEADLINE_SLACK_MS = 100;

/** Names of limits, in the log, for callers and in metrics. */
const WALL_LIMIT = 'wall_ms';
const CONCURRENCY_LIMIT = 'max_concurrent_requests';

let handler: Handler | null = null;
let environment: unknown = null;
let wallMs = 30_000;
let maxConcurrentRequests = 1;
let admission: Admission<Exchange> = new Admission<Exchange>(1, 0);

let total = 0;
let refused = 0;
let exceptions = 0;

/** Called at boot. */
export function configureServer(limits: ServerLimits, env: unknown): void {
  wallMs = limits.wall_ms;
  if (limits.response_mb) configureResponses(limits.response_mb * 1_048_576);
  maxConcurrentRequests = limits.max_concurrent_requests;
  admission = new Admission<Exchange>(maxConcurrentRequests, limits.queue_ms);
  configureSockets(limits.max_websockets ?? 1000, (limits.websocket_message_kb ?? 1024) << 10);
  environment = env;
}

/** Called once the app is loaded: from now on requests are answered. */
export function setHandler(loaded: Handler): void {
  handler = loaded;
}

/** After a rehearsal, all of whose requests were answered. `configureServer` does the rest. */
export function forgetRequests(): void {
  handler = null;
  total = 0;
  setCounter(Counter.total, 0);
}

/** One request, from its first frame to the end of its response. It is the continuation that its code runs in. */
class Exchange implements Answerable, Entry, Flow, Origin, SignalSource {
  readonly connection: number;
  readonly stream: number;
  readonly head: string;
  readonly arrived: number;
  request: RequestState;
  incoming: IncomingBody | null = null;
  outgoing: OutgoingBody | null = null;
  /** Window granted before there was a body to send. */
  granted = 0;
  /** In its connection's table and in the list of deadlines. */
  registered = false;
  waiting = false;
  closed = false;
  subrequests = 0;
  givenUp = false;
  previous: this | null = null;
  following: this | null = null;
  #background: Background | null = null;
  #signal: AbortSignal | null = null;
  #abortReason: unknown = undefined;

  constructor(connection: number, stream: number, head: string, arrived: number) {
    this.connection = connection;
    this.stream = stream;
    this.head = head;
    this.arrived = arrived;
    this.request = new RequestState(head, null, this);
  }

  get origin(): Origin {
    return this;
  }

  get stores(): Stores | null {
    return null;
  }

  get requestId(): string {
    const { head } = this;
    const start = stringIndexOf(head, '\n', stringIndexOf(head, '\n') + 1) + 1;
    const end = stringIndexOf(head, '\n', start);
    return stringSlice(head, start, end < 0 ? head.length : end);
  }

  get over(): boolean {
    return this.closed && (this.#background === null || this.#background.over);
  }

  signal(): AbortSignal {
    if (this.#signal === null) {
      this.#signal = newSignal();
      if (this.#abortReason !== undefined) abortSignal(this.#signal, this.#abortReason);
    }
    return this.#signal;
  }

  abort(reason: unknown): void {
    this.#abortReason = reason;
    if (this.#signal === null) return;
    setContinuation(this);
    abortSignal(this.#signal, reason);
  }

  waitUntil(promise: unknown): void {
    const background = (this.#background ??= new Background(this));
    background.add(promise);
    if (this.closed) background.responseEnded();
  }

  /** Nobody waits for an answer any more, nor should its work go on, but for what was given to `waitUntil`. */
  cutOff(): void {
    if (this.#background === null) giveUp(this);
    else this.#background.cutOff();
  }

  /** From now on it has a deadline, and its frames are for it. */
  register(): void {
    if (!this.registered) inFlight.add(this);
  }

  /** Ends it: frees its slot and lets a waiting one start. */
  release(): void {
    if (this.closed) return;
    this.closed = true;
    if (this.registered) inFlight.remove(this);
    this.incoming?.fail(new TypeError('The request has ended'));
    this.#background?.responseEnded();
    if (this.waiting) {
      this.waiting = false;
      admission.withdraw(this);
      setCounter(Counter.queued, admission.queued);
      return;
    }
    admission.release();
    if (admission.queued > 0) startWaiting();
    setCounter(Counter.active, admission.active);
  }

  /** The request's work, kept from ending with the response. */
  holdBackground(): Background {
    const background = (this.#background ??= new Background(this));
    background.hold();
    return background;
  }

  bodySent(): void {
    this.release();
  }

  bodyFailed(error: unknown): void {
    if (error instanceof BodyTooLarge) cutOff(this.requestId);
    else this.#streamFailed(error);
    sendCancel(this.connection, this.stream, 'the response body failed');
    this.release();
  }

  #streamFailed(error: unknown): void {
    log(ERROR, `The response's stream failed: ${inspectError(error)}`, this.requestId);
    setCounter(Counter.exceptions, ++exceptions);
  }
}

const inFlight = new InFlight<Exchange>();

let starting = false;

/** Starts waiting requests while there are slots; a request that ends at once must not recurse into the next. */
function startWaiting(): void {
  if (starting) return;
  starting = true;
  for (let next = admission.next(); next !== null; next = admission.next()) {
    next.waiting = false;
    run(next);
  }
  starting = false;
  setCounter(Counter.queued, admission.queued);
}

/** The handler threw, or gave something that cannot be sent. */
function fail(exchange: Exchange, error: unknown): void {
  checkRealm();
  setCounter(Counter.exceptions, ++exceptions);
  log(ERROR, `Uncaught ${inspectError(error)}`, exchange.requestId);
  if (exchange.closed) return;
  refuse(exchange, 500, 'exception', 'The app threw an exception; its log has the stack');
  exchange.release();
}

/** Refuses a request that the app has no slot for. */
function overloaded(exchange: Exchange, detail: string): void {
  setCounter(Counter.refused, ++refused);
  refuse(exchange, 503, 'overloaded', detail);
  const message = `A request was refused: as many as the limit max_concurrent_requests = ${maxConcurrentRequests} run`;
  limitHitAgain(CONCURRENCY_LIMIT, `${message}, and as many wait, or it had waited too long`, exchange.requestId);
}

/** Calls the handler. The continuation stays set: the loop clears it at the end of the turn. */
function run(exchange: Exchange): void {
  setContinuation(exchange);
  let result: unknown;
  try {
    result = handler!.fetch(newRequest(exchange.request), environment, new ExecutionContext(exchange));
    const state = responseState(result);
    if (state !== null) {
      respond(exchange, state);
      return;
    }
  } catch (error) {
    fail(exchange, error);
    return;
  }
  exchange.register();
  void settle(exchange, result);
}

async function settle(exchange: Exchange, result: unknown): Promise<void> {
  try {
    const value = await result;
    const state = responseState(value);
    if (state === null) throw notAResponse(value);
    respond(exchange, state);
  } catch (error) {
    fail(exchange, error);
  }
}

function notAResponse(value: unknown): TypeError {
  const what =
    value === null ? 'null' : typeof value === 'object' ? 'another object' : `a value of type ${typeof value}`;
  return new TypeError(`The handler must return a Response or a promise of one, but gave ${what}`);
}

function receiveRequest(
  connection: number,
  stream: number,
  flags: number,
  at: number,
  split: number,
  end: number,
): void {
  setCounter(Counter.total, ++total);
  const exchange = new Exchange(connection, stream, readLatin1(at, split), turnStart());
  if (handler === null) {
    refuse(exchange, 503, 'starting', 'The app is not loaded yet');
    return;
  }
  if ((flags & UPGRADE) !== 0) {
    if (!hasRoom(exchange.requestId)) {
      setCounter(Counter.refused, ++refused);
      refuse(exchange, 503, 'max_websockets', FULL);
      return;
    }
    upgrades.add(exchange);
    flags |= END;
  }
  const verdict = admission.admit(exchange, exchange.arrived);
  if (verdict === START || verdict === WAIT) {
    if ((flags & END) === 0) {
      const { list } = exchange.request;
      exchange.incoming = new IncomingBody(connection, stream, false, listGet(list, 'content-length'));
      exchange.request.body = new Body(null, exchange.incoming);
      if (end > split) exchange.incoming.arrived(split, end, false);
      exchange.register();
    } else if (end > split) exchange.request.body = new Body(readTextOrBytes(split, end));
  }
  if (verdict === START) {
    run(exchange);
    setCounter(Counter.active, admission.active);
  } else if (verdict === WAIT) {
    exchange.waiting = true;
    exchange.register();
    setCounter(Counter.queued, admission.queued);
  } else {
    overloaded(exchange, 'The app is handling as many requests as it may; try again soon');
  }
}

/** The edge gave the stream up, or is gone. */
function drop(exchange: Exchange, reason: unknown): void {
  if (exchange.closed) return;
  exchange.incoming?.fail(reason);
  const { outgoing } = exchange;
  exchange.release();
  outgoing?.close(reason);
  exchange.abort(reason);
}

/** Drops a request whose time is over, and tells the app's owner. */
function dropLate(exchange: Exchange): void {
  const what = exchange.outgoing === null ? 'not answered' : 'answered, but not in full,';
  limitHit(WALL_LIMIT, `A request was ${what} within the limit wall_ms = ${wallMs}`, exchange.requestId);
  drop(exchange, new DOMException(`The request took longer than ${wallMs} ms`, 'TimeoutError'));
  // After listeners of its signal ran, which may have called `waitUntil`.
  exchange.cutOff();
}

function disconnected(): DOMException {
  return new DOMException('The client closed the connection', 'AbortError');
}

export const server: FrameReceiver = {
  frame(connection, stream, type, flags, status, at, split, end) {
    if (type === REQUEST) {
      receiveRequest(connection, stream, flags, at, split, end);
      return;
    }
    const exchange = inFlight.find(connection, stream);
    if (exchange === undefined) socketFrame(connection, stream, type, flags, status, split, end);
    else if (type === DATA) {
      if ((flags & PLACED) !== 0) exchange.incoming?.placed();
      else exchange.incoming?.arrived(split, end, (flags & END) !== 0);
    } else if (type === WINDOW) {
      if (exchange.outgoing === null) exchange.granted += readUint32(split);
      else exchange.outgoing.grant(readUint32(split));
    } else if (type === CANCEL) {
      if (readLatin1(at, split).startsWith('deadline')) dropLate(exchange);
      else drop(exchange, disconnected());
    }
    if (type === CANCEL || type === WINDOW || (flags & END) !== 0) lastWord(connection, stream, type);
  },

  closed(connection) {
    const dropped = inFlight.takeConnection(connection);
    for (let i = 0; i < dropped.length; i++) drop(dropped[i], disconnected());
    connectionLost(connection);
    socketsLost(connection);
  },
};

/** Refuses what waited too long and drops what is past its deadline at `now`, a monotonic time. */
export function enforceTimes(now: number): void {
  for (let late = admission.expired(now); late !== null; late = admission.expired(now)) {
    overloaded(late, 'The app was handling as many requests as it may for too long; try again soon');
    late.closed = true;
    late.waiting = false;
    if (late.registered) inFlight.remove(late);
    setCounter(Counter.queued, admission.queued);
  }
  for (;;) {
    const exchange = inFlight.oldest;
    if (exchange === null || deadline(exchange) > now) return;
    if (exchange.outgoing === null) refuse(exchange, 504, 'deadline', `The app did not answer within ${wallMs} ms`);
    else sendCancel(exchange.connection, exchange.stream, 'deadline');
    dropLate(exchange);
  }
}

function deadline(exchange: Exchange): number {
  return exchange.arrived + wallMs + DEADLINE_SLACK_MS;
}

/** When `enforceTimes` has something to do next, as a monotonic time; -1 when nothing waits. */
export function nextServerTime(): number {
  const expiry = admission.nextExpiry;
  if (inFlight.oldest === null) return expiry;
  const due = deadline(inFlight.oldest);
  return expiry < 0 || due < expiry ? due : expiry;
}
