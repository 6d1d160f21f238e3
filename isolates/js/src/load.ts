/** Loading the app: its main module is imported, its handler found, and the host told how it went. */

import { ERROR, log } from './log.ts';
import { inspectError } from './inspect.ts';
import type { Native } from './native.ts';
import { FAILED, HOST_CONNECTION, LOADED, sendHead, sendText, END } from './ring/output.ts';
import { Response } from './http/response.ts';
import { type ScheduledHandler, setScheduled } from './scheduled.ts';
import { type Handler, setHandler } from './server.ts';
import { firstPlace } from './stack.ts';
import { ObjectGetOwnPropertyDescriptor } from './primordials.ts';
import { isObject } from './webidl.ts';

const EXPECTED =
  'it must export a default object or class with a fetch(request, env, ctx) method, a default function ' +
  '(request, env, ctx), ' +
  'or a function named fetch';

/** Sets `Buffer` and `process`. */
const NODE_GLOBALS = 'internal:globals';

interface Location {
  file: string;
  line: number | '';
  column: number | '';
}

const EXPECTED_SCHEDULED =
  'it must export a default object or class with a scheduled(controller, env, ctx) method, or a function named scheduled';

/** Imports `main` and answers the host with LOADED or FAILED. `node`: it has Node.js modules; `scheduled`: it has crons. */
export async function load(native: Native, main: string, node: boolean, scheduled: boolean): Promise<void> {
  let namespace: Record<string, unknown>;
  try {
    if (node) await native.importModule(NODE_GLOBALS);
    namespace = await native.importModule(main);
  } catch (error) {
    failed(error);
    return;
  }
  const runs = findScheduled(namespace);
  if (scheduled && runs === null) {
    refuse(main, `brrrd.json has crons, but the module ${main} has no handler for them: ${EXPECTED_SCHEDULED}`);
    return;
  }
  const handler = findHandler(namespace) ?? (runs === null ? null : noHandler);
  if (handler === null) {
    refuse(main, `The module ${main} has no handler: ${EXPECTED}`);
    return;
  }
  setHandler(handler);
  if (runs !== null) setScheduled(runs);
  sendHead(HOST_CONNECTION, 0, LOADED, END, 0, '');
}

function refuse(main: string, message: string): void {
  sendText(HOST_CONNECTION, 0, FAILED, 0, `${main}\n\n`, message);
}

/** Of an app that has crons only. */
const noHandler: Handler = {
  fetch: () => new Response('This app answers no requests\n', { status: 404 }),
};

interface ScheduledObject {
  scheduled: ScheduledHandler;
}

function findScheduled(namespace: Record<string, unknown>): ScheduledHandler | null {
  const { default: main, scheduled } = namespace;
  if (isObject(main) && typeof (main as Partial<ScheduledObject>).scheduled === 'function') {
    return (...args) => (main as ScheduledObject).scheduled(...args);
  }
  if (typeof main === 'function') {
    const { prototype } = main as { prototype?: Partial<ScheduledObject> };
    const Entry = main as new (ctx: unknown, env: unknown) => ScheduledObject;
    if (typeof prototype?.scheduled === 'function') {
      return (controller, env, ctx) => new Entry(ctx, env).scheduled(controller, env, ctx);
    }
  }
  return typeof scheduled === 'function' ? (scheduled as ScheduledHandler) : null;
}

function findHandler(namespace: Record<string, unknown>): Handler | null {
  const main = namespace.default;
  if (isObject(main) && typeof (main as Partial<Handler>).fetch === 'function') return main as Handler;
  if (typeof main === 'function') {
    const { prototype } = main as { prototype?: Partial<Handler> };
    if (typeof prototype?.fetch === 'function') return handlerOfClass(main as EntryClass);
    if (!isClass(main)) return { fetch: main as Handler['fetch'] };
  }
  if (typeof namespace.fetch === 'function') return { fetch: namespace.fetch as Handler['fetch'] };
  return null;
}

/** As other runtimes for workers have it: an instance for each request. */
type EntryClass = new (ctx: unknown, env: unknown) => Handler;

function handlerOfClass(Entry: EntryClass): Handler {
  return { fetch: (request, env, ctx) => new Entry(ctx, env).fetch(request, env, ctx) };
}

/** A class cannot be called. Unlike that of a function, its prototype cannot be replaced. */
function isClass(value: object): boolean {
  return ObjectGetOwnPropertyDescriptor(value, 'prototype')?.writable === false;
}

function failed(error: unknown): void {
  const { file, line, column } = locate(error);
  let message: string;
  try {
    message = error instanceof Error ? `${error.name}: ${error.message}` : `Thrown: ${inspectError(error)}`;
  } catch {
    message = 'The module threw a value that cannot be shown';
  }
  log(ERROR, `Uncaught ${inspectError(error)}`, '');
  sendText(HOST_CONNECTION, 0, FAILED, 0, `${file.replaceAll('\n', ' ')}\n${line}\n${column}`, message);
}

/** Where it happened: what the host knows of a module that does not compile, else the first frame of the stack. */
function locate(error: unknown): Location {
  const nowhere: Location = { file: '', line: '', column: '' };
  if (!isObject(error)) return nowhere;
  const known = (error as { __location?: unknown }).__location;
  if (isObject(known)) {
    const { file, line, column } = known as Partial<Location>;
    return { file: `${file ?? ''}`, line: line ?? '', column: column ?? '' };
  }
  return firstPlace((error as { stack?: unknown }).stack) ?? nowhere;
}
