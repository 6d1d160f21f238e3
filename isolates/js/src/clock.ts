/**
 * The isolate's clocks. The host writes both into the ring before an app is loaded and at every poll; within a turn
 * only `Date.now` advances, in whole milliseconds, so that no clock finer than that is to be had.
 */

import { DateNow, max, min } from './primordials.ts';

let monotonicAtPoll = 0;
/** Whole milliseconds by the wall clock when the turn began. */
export let wallAtPoll = 0;
let originMonotonic = 0;
let originWall = 0;
let latest = 0;

/** Taken over from the ring's header. Milliseconds. */
export function setClock(wall: number, monotonic: number): void {
  wallAtPoll = wall;
  monotonicAtPoll = monotonic;
  if (originWall === 0) {
    originWall = wall;
    originMonotonic = monotonic;
  }
}

/** The next clock is the first one that the app knows of. */
export function forgetTimeOrigin(): void {
  originWall = 0;
  latest = 0;
}

/** Milliseconds on the host's monotonic clock, as of now. A step of the wall clock cannot turn it back. */
export function monotonic(): number {
  const since = DateNow() - wallAtPoll;
  const now = monotonicAtPoll + (since > 0 ? min(since, 3_600_000) : 0);
  latest = max(latest, now);
  return latest;
}

/** As `performance.now()`: milliseconds since the isolate booted, in whole milliseconds. */
export function monotonicNow(): number {
  return originWall === 0 ? 0 : Math.floor(max(0, monotonic() - originMonotonic));
}

export function timeOrigin(): number {
  return originWall;
}

/** The monotonic time of the last poll. */
export function turnStart(): number {
  return monotonicAtPoll;
}
