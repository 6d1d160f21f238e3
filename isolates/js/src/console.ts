/** The console (Console standard): every line goes to the app's log with the id of the request it was written for. */

import { monotonicNow } from './clock.ts';
import { inspect } from './inspect.ts';
import { DEBUG, ERROR, INFO, log, WARN } from './log.ts';
import { isArray, ObjectDefineProperty, ObjectKeys, SafeMap } from './primordials.ts';
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
      return typeof value === 'string' ? value : isObject(value) ? inspect(value, { depth: 0 }) : inspect(value);
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

function columnsOf(rows: unknown[], wanted: unknown): string[] {
  if (isArray(wanted)) return wanted.map((name) => `${name as string}`);
  const columns: string[] = [];
  for (const row of rows) {
    if (!isObject(row)) continue;
    for (const key of ObjectKeys(row)) if (!columns.includes(key) && columns.length < 100) columns.push(key);
  }
  return columns;
}

/** The lines of console.table, or null when the data is no table. */
function table(data: unknown, wanted: unknown): string | null {
  if (!isObject(data)) return null;
  const entries: [string, unknown][] =
    data instanceof Map
      ? [...data].slice(0, 1000).map(([key, value]) => [text(key), value as unknown])
      : Object.entries(data).slice(0, 1000);
  const columns = columnsOf(
    entries.map((entry) => entry[1]),
    wanted,
  );
  const plain = entries.some((entry) => !isObject(entry[1]));
  const header = ['(index)', ...columns, ...(plain ? ['Values'] : [])];
  const rows = entries.map(([key, value]) => [
    key,
    ...columns.map((name) =>
      isObject(value) && name in value ? inspect((value as Record<string, unknown>)[name], { depth: 0 }) : '',
    ),
    ...(plain ? [isObject(value) ? '' : inspect(value)] : []),
  ]);
  const widths = header.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i].length)) + 2);
  const line = (cells: string[]) => `│${cells.map((cell, i) => ` ${cell.padEnd(widths[i] - 1)}`).join('│')}│`;
  const rule = (left: string, middle: string, right: string) =>
    left + widths.map((width) => '─'.repeat(width)).join(middle) + right;
  return [rule('┌', '┬', '┐'), line(header), rule('├', '┼', '┤'), ...rows.map(line), rule('└', '┴', '┘')].join('\n');
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
    const lines = table(data, columns);
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
  dir(value: unknown = undefined): void {
    print(INFO, [inspect(value)]);
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
