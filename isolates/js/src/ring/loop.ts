/**
 * The isolate's event loop. `native.poll` runs the microtasks, sends the output, waits for input or the next timer and
 * fills the input; each round here is one turn. The loop ends when the host asks for it, and may be entered again.
 */

import { monotonic, turnStart } from '../clock.ts';
import { setContinuation } from '../continuation.ts';
import { broadcastLost, receiveBroadcast } from '../broadcast_channel.ts';
import { cacheClient } from '../cache/calls.ts';
import { operations } from '../crypto/host.ts';
import { inspectError } from '../inspect.ts';
import { ERROR, log } from '../log.ts';
import { runMicrotasks } from '../native.ts';
import { max } from '../primordials.ts';
import { notifyRejections, rejectionsWait } from '../rejections.ts';
import { checkRealm, watchRealm } from '../realm.ts';
import { receiveFire } from '../scheduled.ts';
import { enforceTimes, nextServerTime, server } from '../server.ts';
import { client } from '../subrequest.ts';
import { nextTimer, onTimerChange, runTimer, timerDue, timerMark } from '../timers.ts';
import { countElsewhere } from '../websocket/wire.ts';
import { type FrameReceiver, LEAVE, readHeader, readSegments } from './input.ts';
import {
  BROADCAST,
  CACHE_CONNECTION,
  EGRESS_CONNECTION,
  ELSEWHERE,
  FIRE,
  HOST_CONNECTION,
  setMoreWork,
  setNextTimer,
} from './output.ts';
import { runTasks } from './tasks.ts';

/** A turn runs at most this many timers before it looks at the sockets again. */
const TIMERS_PER_TURN = 256;

/** What the host itself says. */
const host: FrameReceiver = {
  frame(_connection, stream, type, _flags, _status, at, split) {
    if (type === FIRE) receiveFire(stream, at, split);
    else if (type === ELSEWHERE) countElsewhere(stream);
  },
  closed(connection) {
    operations.closed(connection);
  },
};

/** The egress process: answers to subrequests, and what other isolates send. */
const egress: FrameReceiver = {
  frame(connection, stream, type, flags, status, at, split, end) {
    if (type === BROADCAST) receiveBroadcast(stream, status, split, end);
    else client.frame(connection, stream, type, flags, status, at, split, end);
  },
  closed(connection) {
    client.closed(connection);
    broadcastLost();
  },
};

function receiverOf(connection: number): FrameReceiver {
  if (connection > CACHE_CONNECTION) return server;
  return connection === EGRESS_CONNECTION ? egress : connection === HOST_CONNECTION ? host : cacheClient;
}

/** Tells the host how long it may sleep, counted from the clock that it gave at the last poll. */
function announceTimer(): void {
  const timer = nextTimer();
  const other = nextServerTime();
  const at = timer < 0 || (other >= 0 && other < timer) ? other : timer;
  setNextTimer(at < 0 ? -1 : max(0, at - turnStart()));
}

/**
 * Runs the timers that are due and were set before `mark`. Microtasks run between two of them, as HTML asks, and those
 * of this turn's requests run before any timer that they set.
 */
function runTimers(mark: number): void {
  const now = monotonic();
  for (let count = 0; timerDue(now); count++) {
    if (count === TIMERS_PER_TURN || (count > 0 && !runMicrotasks())) {
      setMoreWork(true);
      return;
    }
    if (!runTimer(now, mark)) return;
  }
}

/** Nothing of the platform should throw here; if it does, the other requests go on. */
function platformFailed(error: unknown): void {
  checkRealm();
  setContinuation(undefined);
  log(ERROR, `The platform failed: ${inspectError(error)}`, '');
}

function tellRejections(): void {
  try {
    notifyRejections();
  } catch (error) {
    platformFailed(error);
  }
}

function turn(): void {
  const mark = timerMark();
  readSegments(receiverOf, platformFailed);
  setContinuation(undefined);
  try {
    runTasks();
    enforceTimes(monotonic());
    runTimers(mark);
  } catch (error) {
    platformFailed(error);
  }
}

/** Returns the loop; it calls `start`, if it is given one, before the first poll, by the clocks that the host set. */
export function makeLoop(poll: () => void): (start: (() => void) | null) => void {
  onTimerChange(announceTimer);
  return function run(start): void {
    if (start !== null) {
      readHeader();
      start();
    }
    try {
      announceTimer();
      for (;;) {
        poll();
        setMoreWork(false);
        const flags = readHeader();
        watchRealm(turnStart());
        if (rejectionsWait) tellRejections();
        turn();
        announceTimer();
        if ((flags & LEAVE) !== 0) return;
      }
    } catch (error) {
      checkRealm();
      throw error;
    }
  };
}
