/** Lines for the app's owner: LOG frames on connection 0, bounded in size. */

import { monotonic } from './clock.ts';
import { currentRequestId } from './continuation.ts';
import { min, SafeMap, stringSlice } from './primordials.ts';
import { HOST_CONNECTION, LIMIT, LOG, sendText } from './ring/output.ts';

export const DEBUG = 0;
export const INFO = 1;
export const WARN = 2;
export const ERROR = 3;

const MAX_UNITS = 16 << 10;
const SILENT_MS = 1000;

/** When a limit was last in the log, by its name. */
const saidAt = new SafeMap<string, number>();

/** Says in the app's log, and counts, that its code was over a limit. `message` names the limit; '': counted only. */
export function limitHit(limit: string, message: string, requestId: string): void {
  sendText(HOST_CONNECTION, 0, LIMIT, WARN, `${requestId}\n${limit}`, message);
}

/**
 * As `limitHit`, for what happens a thousand times to whom it happens once: each time is counted, one a second is in the
 * log.
 */
export function limitHitAgain(limit: string, message: string, requestId: string): void {
  const now = monotonic();
  const silent = now < (saidAt.get(limit) ?? -Infinity) + SILENT_MS;
  if (!silent) saidAt.set(limit, now);
  limitHit(limit, silent ? '' : message, requestId);
}

/** Writes one line. `requestId` defaults to the request that the running code works for. */
export function log(level: number, message: string, requestId: string = currentRequestId()): void {
  const units = message.length;
  const text =
    units <= MAX_UNITS ? message : `${stringSlice(message, 0, MAX_UNITS)}… (${units - MAX_UNITS} more characters)`;
  sendText(HOST_CONNECTION, 0, LOG, min(level, ERROR), requestId, text);
}
