/** What happens to an exception that nobody caught. */

import { ErrorEvent, eventState } from './events/event.ts';
import { dispatch, globalScope, hasListeners } from './events/event_target.ts';
import { inspectError } from './inspect.ts';
import { isError } from './late_intrinsics.ts';
import { ERROR, log } from './log.ts';
import { firstPlace, type Place } from './stack.ts';

let reporting = false;

/** HTML "report an exception": an `error` event at the global scope, and a log line unless that was cancelled. */
export function reportException(error: unknown): void {
  if (!reporting && hasListeners(globalScope, 'error')) {
    reporting = true;
    try {
      const place = placeOf(error);
      const message = messageOf(error);
      const filename = place === null ? '' : `file:///${place.file}`;
      const lineno = place?.line ?? 0;
      const colno = place?.column ?? 0;
      const event = new ErrorEvent('error', { cancelable: true, message, filename, lineno, colno, error });
      eventState(event).trusted = true;
      if (!dispatch(globalScope, event)) return;
    } finally {
      reporting = false;
    }
  }
  log(ERROR, `Uncaught ${inspectError(error)}`);
}

function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  } catch {
    return 'An exception that cannot be converted to a string';
  }
}

/** Where app code threw: the first frame in the package, of the error's stack or else of the one that reports it. */
function placeOf(error: unknown): Place | null {
  try {
    return firstPlace(isError(error) ? (error as Error).stack : new Error().stack);
  } catch {
    return null; // a getter of the app's: there is nothing to know
  }
}
