/**
 * `node:events`: the package `events`, whose EventEmitter can be called without `new` as older libraries do, with the
 * newer functions of unenv.
 */

import EventEmitter from 'events';
import {
  addAbortListener,
  EventEmitterAsyncResource,
  getEventListeners,
  getMaxListeners,
  on,
  once,
} from 'unenv/node/internal/events/events';

const errorMonitor = Symbol.for('events.errorMonitor');
const captureRejectionSymbol = Symbol.for('nodejs.rejection');
const captureRejections = false;
const usingDomains = false;
const { defaultMaxListeners } = EventEmitter;

/** Listeners of `errorMonitor` hear of errors before, and without being, their listeners. */
const { emit } = EventEmitter.prototype;
EventEmitter.prototype.emit = function (this: unknown, type: unknown, ...args: unknown[]) {
  if (type === 'error') Reflect.apply(emit, this, [errorMonitor, ...args]);
  return Reflect.apply(emit, this, [type, ...args]);
};

export function setMaxListeners(count: number, ...targets: { setMaxListeners?(count: number): void }[]): void {
  if (targets.length === 0) EventEmitter.defaultMaxListeners = count;
  for (const target of targets) target.setMaxListeners?.(count);
}

export function listenerCount(emitter: { listenerCount(type: unknown): number }, type: unknown): number {
  return emitter.listenerCount(type);
}

Object.assign(EventEmitter, {
  addAbortListener,
  captureRejections,
  captureRejectionSymbol,
  errorMonitor,
  EventEmitter,
  EventEmitterAsyncResource,
  getEventListeners,
  getMaxListeners,
  init: EventEmitter.init,
  listenerCount,
  on,
  once,
  setMaxListeners,
  usingDomains,
});

export {
  addAbortListener,
  captureRejections,
  captureRejectionSymbol,
  defaultMaxListeners,
  errorMonitor,
  EventEmitter,
  EventEmitterAsyncResource,
  getEventListeners,
  getMaxListeners,
  on,
  once,
  usingDomains,
};
export default EventEmitter;
