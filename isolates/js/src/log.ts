/** Lines for the app's owner: LOG frames on connection 0, bounded in size. */

import { currentRequestId } from './continuation.ts';
import { min, stringSlice } from './primordials.ts';
import { HOST_CONNECTION, LIMIT, LOG, sendText } from './ring/output.ts';

export const DEBUG = 0;
export const INFO = 1;
export const WARN = 2;
export const ERROR = 3;

const MAX_UNITS = 16 << 10;

/** Says in the app's log, and counts, that its code was over a limit. `message` names the limit. */
export function limitHit(limit: string, message: string, requestId: string): void {
  sendText(HOST_CONNECTION, 0, LIMIT, WARN, `${requestId}\n${limit}`, message);
}

/** Writes one line. `requestId` defaults to the request that the running code works for. */
export function log(level: number, message: string, requestId: string = currentRequestId()): void {
  const units = message.length;
  const text =
    units <= MAX_UNITS ? message : `${stringSlice(message, 0, MAX_UNITS)}… (${units - MAX_UNITS} more characters)`;
  sendText(HOST_CONNECTION, 0, LOG, min(level, ERROR), requestId, text);
}
