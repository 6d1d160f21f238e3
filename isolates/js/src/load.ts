/** Loading the app: its main module is imported, its handler found, and the host told how it went. */

import { ERROR, log } from './log.ts';
import { inspectError } from './inspect.ts';
import type { Native } from './native.ts';
import { FAILED, HOST_CONNECTION, LOADED, sendHead, sendText, END } from './ring/output.ts';
import { type Handler, setHandler } from './server.ts';
import { ObjectGetOwnPropertyDescriptor } from './primordials.ts';
import { isObject } from './webidl.ts';

const EXPECTED =
  'it must export a default object or class with a fetch(request, env, ctx) method, a default function ' +
  '(request, env, ctx), ' +
  'or a function named fetch';

interface Location {
  file: string;
  line: number | '';
  column: number | '';
}

/** Imports `main` and answers the host with LOADED or FAILED. */
export async function load(native: Native, main: string): Promise<void> {
  let namespace: Record<string, unknown>;
  try {
    namespace = await native.importModule(main);
  } catch (error) {
    failed(error);
    return;
  }
  const handler = findHandler(namespace);
  if (handler === null) {
    sendText(HOST_CONNECTION, 0, FAILED, 0, `${main}\n\n`, `The module ${main} has no handler: ${EXPECTED}`);
    return;
  }
  setHandler(handler);
  sendHead(HOST_CONNECTION, 0, LOADED, END, 0, '');
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
  const { stack } = error as { stack?: unknown };
  const frame = typeof stack === 'string' ? /file:\/\/\/([^\s)]+?):(\d+):(\d+)/.exec(stack) : null;
  return frame === null ? nowhere : { file: frame[1], line: Number(frame[2]), column: Number(frame[3]) };
}
