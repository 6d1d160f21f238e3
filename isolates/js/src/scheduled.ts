/**
 * Runs of crons: FIRE frames of the host in, the app's `scheduled` handler, FIRED frames out. A run ends when the handler
 * and everything given to `waitUntil` has, or at its limit, from which on nobody waits for it.
 */

import { countBackground, giveUp } from './background.ts';
import { type Flow, type Origin, setContinuation, type Stores } from './continuation.ts';
import { ExecutionContext } from './execution_context.ts';
import { inspectError } from './inspect.ts';
import { ERROR, limitHit, log } from './log.ts';
import { stringSplit } from './primordials.ts';
import { readLatin1 } from './ring/input.ts';
import { END, FIRED, HOST_CONNECTION, sendHead } from './ring/output.ts';
import { clearTimer, setInternalTimer } from './timers.ts';

export type ScheduledHandler = (controller: ScheduledController, env: unknown, ctx: unknown) => unknown;

const OK = 0;
const EXCEPTION = 1;
const TIMEOUT = 2;

/** The limit's name, in the log and in metrics. */
const LIMIT = 'cron_wall_ms';

let handler: ScheduledHandler | null = null;
let environment: unknown = null;
let wallMs = 900_000;

/** Called at boot. */
export function configureScheduled(limitMs: number | undefined, env: unknown): void {
  wallMs = limitMs ?? wallMs;
  environment = env;
}

/** Called once the app is loaded. */
export function setScheduled(loaded: ScheduledHandler): void {
  handler = loaded;
}

/** The first argument of the handler. */
class ScheduledController {
  readonly type = 'scheduled';
  readonly cron: string;
  readonly scheduledTime: number;
  constructor(cron: string, scheduledTime: number) {
    this.cron = cron;
    this.scheduledTime = scheduledTime;
  }
  /** For code that asks for it: a run is never repeated here. */
  noRetry(): void {}
}

/** One run. It is the continuation that its code runs in, and its id stands where a request's does. */
class Run implements Flow, Origin {
  readonly requestId: string;
  readonly connection = -1;
  readonly stores: Stores | null = null;
  subrequests = 0;
  givenUp = false;
  readonly #stream: number;
  readonly #cron: string;
  #pending = 0;
  #outcome = OK;
  #ended = false;
  #timer = 0;

  constructor(stream: number, requestId: string, cron: string) {
    this.#stream = stream;
    this.requestId = requestId;
    this.#cron = cron;
  }

  get origin(): Origin {
    return this;
  }

  get over(): boolean {
    return this.#ended;
  }

  start(scheduledTime: number): void {
    countBackground(1);
    this.#timer = setInternalTimer(() => this.#giveUp(), wallMs);
    setContinuation(this);
    void this.#settle(this.#call(new ScheduledController(this.#cron, scheduledTime)));
  }

  waitUntil(promise: unknown): void {
    if (!this.#ended) void this.#settle(promise);
  }

  /** As an async function, so that an exception and a rejection are one thing. */
  async #call(controller: ScheduledController): Promise<unknown> {
    if (handler === null) throw new TypeError('The app has no handler for crons: scheduled(controller, env, ctx)');
    return handler(controller, environment, new ExecutionContext(this));
  }

  async #settle(promise: unknown): Promise<void> {
    this.#pending++;
    try {
      await promise;
    } catch (error) {
      if (this.givenUp) return;
      this.#outcome = EXCEPTION;
      log(ERROR, `The run of the cron ${this.#cron} failed: ${inspectError(error)}`, this.requestId);
    }
    if (--this.#pending === 0) this.#end(this.#outcome);
  }

  #giveUp(): void {
    const message = `The run of the cron ${this.#cron} took longer than the limit ${LIMIT} = ${wallMs} and was given up`;
    limitHit(LIMIT, message, this.requestId);
    giveUp(this);
    this.#end(TIMEOUT);
  }

  #end(outcome: number): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimer(this.#timer);
    countBackground(-1);
    sendHead(HOST_CONNECTION, this.#stream, FIRED, END, outcome, '');
  }
}

/** A FIRE frame of the host. */
export function receiveFire(stream: number, at: number, split: number): void {
  const [id, cron, time] = stringSplit(readLatin1(at, split), '\n');
  new Run(stream, id, cron).start(+time);
  setContinuation(undefined);
}
