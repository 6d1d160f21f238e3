/** What app code finds on the global object, and what is taken away from it. */

import { AsyncLocalStorage } from './async_context.ts';
import { atob, btoa } from './base64.ts';
import { Blob, File } from './blob.ts';
import { BroadcastChannel } from './broadcast_channel.ts';
import { Cache } from './cache/cache.ts';
import { caches, CacheStorage } from './cache/cache_storage.ts';
import { CompressionStream, DecompressionStream } from './compression.ts';
import { console } from './console.ts';
import { Crypto, crypto } from './crypto/crypto.ts';
import { CryptoKey } from './crypto/crypto_key.ts';
import { SubtleCrypto } from './crypto/subtle.ts';
import { DOMException } from './dom_exception.ts';
import { TextDecoder, TextDecoderStream, TextEncoder, TextEncoderStream } from './encoding/text_encoding.ts';
import { AbortController, AbortSignal } from './events/abort.ts';
import { CloseEvent } from './events/close_event.ts';
import { CustomEvent, ErrorEvent, Event, MessageEvent, PromiseRejectionEvent } from './events/event.ts';
import { defineHandler, EventTarget } from './events/event_target.ts';
import { fetch } from './fetch.ts';
import { FormData } from './form_data.ts';
import { Headers } from './http/headers.ts';
import { Request } from './http/request.ts';
import { Response } from './http/response.ts';
import { MessageChannel, MessagePort } from './message_channel.ts';
import { navigator, Navigator } from './navigator.ts';
import { Performance, performance } from './performance/performance.ts';
import { PerformanceEntry, PerformanceMark, PerformanceMeasure } from './performance/entries.ts';
import { PerformanceObserver, PerformanceObserverEntryList } from './performance/observer.ts';
import { ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, ReflectApply } from './primordials.ts';
import { reportException } from './report.ts';
import { streamInterfaces } from './streams.ts';
import { structuredClone } from './clone/structured_clone.ts';
import { clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } from './timers.ts';
import { URL } from './url/url.ts';
import { URLPattern } from './url/url_pattern.ts';
import { URLSearchParams } from './url/search_params.ts';
import { installWasmStreaming } from './wasm.ts';
import { requireArguments } from './webidl.ts';
import { WebSocket, WebSocketPair } from './websocket/websocket.ts';

const interfaces: Record<string, unknown> = {
  AbortController,
  AbortSignal,
  AsyncLocalStorage,
  Blob,
  BroadcastChannel,
  Cache,
  CacheStorage,
  CloseEvent,
  CompressionStream,
  Crypto,
  CryptoKey,
  CustomEvent,
  DOMException,
  DecompressionStream,
  ErrorEvent,
  Event,
  EventTarget,
  File,
  FormData,
  Headers,
  MessageChannel,
  MessageEvent,
  MessagePort,
  Navigator,
  Performance,
  PerformanceEntry,
  PerformanceMark,
  PerformanceMeasure,
  PerformanceObserver,
  PerformanceObserverEntryList,
  PromiseRejectionEvent,
  Request,
  Response,
  SubtleCrypto,
  TextDecoder,
  TextDecoderStream,
  TextEncoder,
  TextEncoderStream,
  URL,
  URLPattern,
  URLSearchParams,
  WebSocket,
  WebSocketPair,
  ...streamInterfaces,
};

const resolved = Promise.resolve();
const then = Promise.prototype.then;

/** The continuation is carried by the promise reaction; an exception is reported, not a rejection. */
function queueMicrotask(callback: () => unknown): void {
  requireArguments(arguments.length, 1, 'queueMicrotask');
  if (typeof callback !== 'function') throw new TypeError('The callback is not a function');
  ReflectApply(then, resolved, [
    () => {
      try {
        ReflectApply(callback, undefined, []);
      } catch (error) {
        reportException(error);
      }
    },
  ]);
}

function reportError(error: unknown): void {
  requireArguments(arguments.length, 1, 'reportError');
  reportException(error);
}

const functions: Record<string, unknown> = {
  atob,
  btoa,
  clearInterval,
  clearTimeout,
  fetch,
  queueMicrotask,
  reportError,
  setInterval,
  setTimeout,
  structuredClone,
  addEventListener: EventTarget.prototype.addEventListener,
  dispatchEvent: EventTarget.prototype.dispatchEvent,
  removeEventListener: EventTarget.prototype.removeEventListener,
};

/** HTML's "special error event handling": `onerror` of a global object gets five arguments, and cancels with true. */
function runErrorHandler(callback: (...args: unknown[]) => unknown, target: unknown, event: Event): void {
  if (event instanceof ErrorEvent) {
    const { message, filename, lineno, colno, error } = event;
    if (ReflectApply(callback, target, [message, filename, lineno, colno, error]) === true) event.preventDefault();
  } else if (ReflectApply(callback, target, [event]) === false) event.preventDefault();
}

/** A read-only attribute of the global object that app code may still replace. */
function defineAttribute(name: string, value: unknown): void {
  ObjectDefineProperty(globalThis, name, {
    get: () => value,
    set(replacement: unknown) {
      ObjectDefineProperty(globalThis, name, {
        value: replacement,
        writable: true,
        enumerable: true,
        configurable: true,
      });
    },
    enumerable: true,
    configurable: true,
  });
}

/** What the engine's embedding declared itself cannot be redefined, only replaced. */
function define(name: string, value: unknown, enumerable: boolean): void {
  const existing = ObjectGetOwnPropertyDescriptor(globalThis, name);
  if (existing !== undefined && existing.configurable !== true) scope[name] = value;
  else ObjectDefineProperty(globalThis, name, { value, writable: true, enumerable, configurable: true });
}

function remove(name: string): void {
  const existing = ObjectGetOwnPropertyDescriptor(globalThis, name);
  if (existing === undefined) return;
  if (existing.configurable === true) delete scope[name];
  else scope[name] = undefined;
}

const scope = globalThis as unknown as Record<string, unknown>;

/** Installs everything that needs no host. Runs when the bundle is evaluated, possibly into a start-up snapshot. */
export function installGlobals(): void {
  for (const name of Object.keys(interfaces)) define(name, interfaces[name], false);
  for (const name of Object.keys(functions)) define(name, functions[name], true);
  define('console', console, false);
  defineAttribute('self', globalThis);
  defineAttribute('caches', caches);
  defineAttribute('crossOriginIsolated', false);
  defineAttribute('crypto', crypto);
  defineAttribute('navigator', navigator);
  defineAttribute('performance', performance);
  defineHandler(globalThis as unknown as EventTarget, 'error', undefined, runErrorHandler);
  defineHandler(globalThis as unknown as EventTarget, 'unhandledrejection');
  defineHandler(globalThis as unknown as EventTarget, 'rejectionhandled');
}

/** Adds what depends on the app's settings. Runs at boot. */
export function installAppGlobals(processEnvironment: Record<string, string>, node: boolean): void {
  define('process', { env: processEnvironment }, false);
  if (!node) return;
  define('setImmediate', setImmediate, true);
  define('clearImmediate', clearTimeout, true);
  define('global', globalThis, false);
}

/** Adds what a context for a snapshot cannot have, and takes away what app code must not. Runs before any of that. */
export function finishGlobals(): void {
  installWasmStreaming();
  // Again: the engine's embedding sets timers of its own on a context that comes from a snapshot.
  for (const name of ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'])
    define(name, functions[name], true);
  // As in browsers without cross-origin isolation, the class of shared buffers has no name on the global object, and is
  // reached through a shared WebAssembly memory. Such memory is no clock here: an isolate has one thread, so nobody counts
  // while code runs, and nothing of the host's is ever in it. What could block the thread is off: Atomics.wait and
  // memory.atomic.wait throw (`allow_atomics_wait` in isolates/v8/isolate.py). What the platform copies out of buffers
  // refuses shared ones (`bytesView`), but for the two arguments that the standards mark [AllowShared].
  for (const name of ['__brrrd_boot', '__brrrd_prepare', '__brrrd_ring', '__timer_manager', 'SharedArrayBuffer'])
    remove(name);
  const atomics = Atomics as unknown as Record<string, unknown>;
  delete atomics.wait;
  delete atomics.waitAsync;
}
