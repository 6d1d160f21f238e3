/** What happens to an exception that nobody caught. */

import { ErrorEvent, eventState } from './events/event.ts';
import { dispatch, globalScope, hasListeners } from './events/event_target.ts';
import { inspectError } from './inspect.ts';
import { ERROR, log } from './log.ts';

let reporting = false;

/** HTML "report an exception": an `error` event at the global scope, and a log line unless that was cancelled. */
export function reportException(error: unknown): void {
  if (!reporting && hasListeners(globalScope, 'error')) {
    reporting = true;
    try {
      const event = new ErrorEvent('error', { cancelable: true, message: messageOf(error), error });
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
