/** The console (Console standard): every line goes to the app's log with the id of the request it was written for. */

import { monotonicNow } from './clock.ts';
import { table } from './console_table.ts';
import { inspect, toStringOf } from './inspect.ts';
import { DEBUG, ERROR, INFO, log, WARN } from './log.ts';
import { ObjectDefineProperty, SafeMap } from './primordials.ts';
import { trimStack } from './stack.ts';
import { isObject } from './webidl.ts';

const counts = new SafeMap<string, number>();
const timers = new SafeMap<string, number>();
let indent = '';

function text(value: unknown): string {
  return typeof value === 'string' ? value : inspect(value);
}

function substitute(kind: string, value: unknown): string {
  switch (kind) {
    case 's':
      if (typeof value === 'string') return value;
      return isObject(value) ? (toStringOf(value) ?? inspect(value, { depth: 0 })) : inspect(value);
    case 'd':
    case 'i': {
      if (typeof value === 'bigint') return `${value}n`;
      if (typeof value === 'symbol') return 'NaN';
      const number = isObject(value) ? NaN : kind === 'i' ? Number.parseInt(`${value as string}`, 10) : Number(value);
      return `${number}`;
    }
    case 'f':
      return typeof value === 'symbol' || isObject(value) ? 'NaN' : `${Number.parseFloat(`${value as string}`)}`;
    case 'j':
      try {
        return JSON.stringify(value) ?? 'undefined';
      } catch {
        return '[Circular]';
      }
    case 'o':
      return inspect(value, { depth: 4 });
    case 'O':
      return inspect(value);
    default:
      return ''; // %c: a style
  }
}

/** The Console standard's Formatter, with Node's specifiers. */
export function format(args: unknown[]): string {
  if (args.length === 0) return '';
  const [first] = args;
  let out: string;
  let next = 1;
  if (typeof first === 'string' && args.length > 1) {
    out = '';
    for (let i = 0; i < first.length; i++) {
      const kind = first[i] === '%' ? first[i + 1] : undefined;
      if (kind === '%') {
        out += '%';
        i++;
      } else if (kind !== undefined && 'sdifjoOc'.includes(kind) && next < args.length) {
        out += substitute(kind, args[next++]);
        i++;
      } else out += first[i];
    }
  } else out = text(first);
  for (; next < args.length; next++) out += ` ${text(args[next])}`;
  return out;
}

function print(level: number, args: unknown[]): void {
  let line = format(args);
  if (indent !== '') line = indent + line.replaceAll('\n', `\n${indent}`);
  log(level, line);
}

function label(value: unknown): string {
  return value === undefined ? 'default' : `${value as string}`;
}

function elapsed(name: string): string | null {
  const since = timers.get(name);
  return since === undefined ? null : `${name}: ${monotonicNow() - since}ms`;
}

const methods = {
  assert(condition: unknown = undefined, ...args: unknown[]): void {
    if (condition) return;
    if (args.length === 0) print(ERROR, ['Assertion failed']);
    else if (typeof args[0] === 'string') print(ERROR, [`Assertion failed: ${args[0]}`, ...args.slice(1)]);
    else print(ERROR, ['Assertion failed', ...args]);
  },
  clear(): void {},
  debug(...args: unknown[]): void {
    print(DEBUG, args);
  },
  error(...args: unknown[]): void {
    print(ERROR, args);
  },
  info(...args: unknown[]): void {
    print(INFO, args);
  },
  log(...args: unknown[]): void {
    print(INFO, args);
  },
  table(data: unknown = undefined, columns: unknown = undefined): void {
    let lines: string | null;
    try {
      lines = table(data, columns);
    } catch {
      lines = null; // of what the app's getters, or a proxy's traps, let nobody look at
    }
    if (lines === null) print(INFO, [data]);
    else print(INFO, [lines]);
  },
  trace(...args: unknown[]): void {
    const stack = new Error().stack ?? '';
    print(INFO, [
      `Trace${args.length > 0 ? `: ${format(args)}` : ''}${trimStack(`\n${stack.split('\n').slice(2).join('\n')}`)}`,
    ]);
  },
  warn(...args: unknown[]): void {
    print(WARN, args);
  },
  dir(value: unknown = undefined, options: { depth?: unknown } | undefined = undefined): void {
    const depth = isObject(options) ? options.depth : undefined;
    // Not among what `print` formats: the text may have a `%`.
    print(INFO, ['%s', inspect(value, depth === null ? { depth: Infinity } : { depth: depth as number | undefined })]);
  },
  dirxml(...args: unknown[]): void {
    print(INFO, args);
  },
  count(name: string | undefined = undefined): void {
    const key = label(name);
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    print(INFO, [`${key}: ${count}`]);
  },
  countReset(name: string | undefined = undefined): void {
    const key = label(name);
    if (counts.has(key)) counts.set(key, 0);
    else print(WARN, [`Count for '${key}' does not exist`]);
  },
  group(...args: unknown[]): void {
    if (args.length > 0) print(INFO, args);
    if (indent.length < 64) indent += '  ';
  },
  groupCollapsed(...args: unknown[]): void {
    methods.group(...args);
  },
  groupEnd(): void {
    indent = indent.slice(2);
  },
  time(name: string | undefined = undefined): void {
    const key = label(name);
    if (timers.has(key)) print(WARN, [`Timer '${key}' already exists`]);
    else timers.set(key, monotonicNow());
  },
  timeLog(name: string | undefined = undefined, ...args: unknown[]): void {
    const line = elapsed(label(name));
    if (line === null) print(WARN, [`Timer '${label(name)}' does not exist`]);
    else print(INFO, [line, ...args]);
  },
  timeEnd(name: string | undefined = undefined): void {
    const key = label(name);
    const line = elapsed(key);
    timers.delete(key);
    if (line === null) print(WARN, [`Timer '${key}' does not exist`]);
    else print(INFO, [line]);
  },
};

/** The console namespace object: its prototype is an empty object of its own (Console standard). */
export const console = Object.create(Object.create(Object.prototype) as object) as typeof methods;
for (const name of Object.keys(methods) as (keyof typeof methods)[]) {
  ObjectDefineProperty(console, name, { value: methods[name], writable: true, enumerable: true, configurable: true });
}
ObjectDefineProperty(console, Symbol.toStringTag, { value: 'console', configurable: true });
