/**
 * Whether the app has left the language usable. An element on Array.prototype or Object.prototype reaches every array
 * that is appended to, the platform's own included, and nothing of a request is certain then: such an isolate is replaced.
 * All other changes of prototypes leave the platform as it is (`primordials.ts`, `captured_globals.ts`).
 */

import { charCodeAt, ObjectGetOwnPropertyNames } from './primordials.ts';
import { flushOutput } from './native.ts';
import { HOST_CONNECTION, sendText, UNFIT } from './ring/output.ts';

const PROTOTYPES = [Array.prototype, Object.prototype] as const;
const LOOK_MS = 1000;
const MESSAGE =
  'The app defined an array element on Array.prototype or Object.prototype, which breaks every array: ' +
  'its isolate is replaced';

let nextLook = 0;

/** Looks about once a second; called in every turn, with its monotonic time. */
export function watchRealm(now: number): void {
  if (now < nextLook) return;
  nextLook = now + LOOK_MS;
  checkRealm();
}

/** Ends the isolate if it is broken. Called when something failed that should not, or whose cause may be that. */
export function checkRealm(): void {
  if (!hasElement(PROTOTYPES[0]) && !hasElement(PROTOTYPES[1])) return;
  sendText(HOST_CONNECTION, 0, UNFIT, 0, '', MESSAGE);
  flushOutput();
}

/** Names of elements come before all others. */
function hasElement(prototype: object): boolean {
  const names = ObjectGetOwnPropertyNames(prototype);
  const unit = names.length > 0 ? charCodeAt(names[0], 0) : 0;
  return unit >= 0x30 && unit <= 0x39;
}
