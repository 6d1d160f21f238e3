/** The lines of `console.table`, as Node draws them. */

import { builtinKind } from './builtin_kind.ts';
import { inspect } from './inspect.ts';
import { textWidth } from './inspect_text.ts';
import { mapForEach, setForEach } from './internal_slots.ts';
import { isArray, ObjectKeys } from './primordials.ts';
import { isObject } from './webidl.ts';

const MAX_ROWS = 1000;
const MAX_COLUMNS = 100;

type Row = [index: string, value: unknown, key?: unknown];

/** The table, or null when the data is none. `wanted` names the columns to show. */
export function table(data: unknown, wanted: unknown): string | null {
  if (!isObject(data)) return null;
  const kind = builtinKind(data);
  const rows = rowsOf(data, kind);
  // What a Map or a Set holds is shown whole, as in Node.
  const whole = kind === 'Map' || kind === 'Set';
  const columns = whole ? [] : columnsOf(rows, wanted);
  const values = whole || rows.some((row) => !isObject(row[1]));
  const header = [
    whole ? '(iteration index)' : '(index)',
    ...(kind === 'Map' ? ['Key'] : []),
    ...columns,
    ...(values ? ['Values'] : []),
  ];
  const cells = rows.map(([index, value, key]) => [
    index,
    ...(kind === 'Map' ? [inspect(key, { depth: 0 })] : []),
    ...columns.map((name) =>
      isObject(value) && name in value ? inspect((value as Record<string, unknown>)[name], { depth: 0 }) : '',
    ),
    ...(values ? [whole || !isObject(value) ? inspect(value, { depth: 1 }) : ''] : []),
  ]);
  return drawn(header, cells);
}

function rowsOf(data: object, kind: string | null): Row[] {
  const rows: Row[] = [];
  const add = (value: unknown, key?: unknown) => {
    if (rows.length < MAX_ROWS) rows.push([`${rows.length}`, value, key]);
  };
  if (kind === 'Map') mapForEach(data as Map<unknown, unknown>, (value, key) => add(value, key));
  else if (kind === 'Set') setForEach(data as Set<unknown>, (value) => add(value));
  else for (const [key, value] of Object.entries(data).slice(0, MAX_ROWS)) rows.push([key, value]);
  return rows;
}

function columnsOf(rows: Row[], wanted: unknown): string[] {
  if (isArray(wanted)) return wanted.map((name) => `${name as string}`);
  const columns: string[] = [];
  for (const [, value] of rows) {
    if (!isObject(value)) continue;
    for (const key of ObjectKeys(value)) if (columns.length < MAX_COLUMNS && !columns.includes(key)) columns.push(key);
  }
  return columns;
}

function drawn(header: string[], rows: string[][]): string {
  const widths = header.map((name, i) => Math.max(textWidth(name), ...rows.map((row) => textWidth(row[i]))) + 2);
  const line = (cells: string[]) =>
    `│${cells.map((cell, i) => ` ${cell}${' '.repeat(widths[i] - 1 - textWidth(cell))}`).join('│')}│`;
  const rule = (left: string, middle: string, right: string) =>
    left + widths.map((width) => '─'.repeat(width)).join(middle) + right;
  return [rule('┌', '┬', '┐'), line(header), rule('├', '┼', '┤'), ...rows.map(line), rule('└', '┴', '┘')].join('\n');
}
