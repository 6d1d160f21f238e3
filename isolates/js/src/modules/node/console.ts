/** `node:console`: the platform's console, which writes to the app's log. */

const { console } = globalThis as unknown as { console: Record<string, AnyFunction> };

export const {
  assert,
  clear,
  count,
  countReset,
  debug,
  dir,
  dirxml,
  error,
  group,
  groupCollapsed,
  groupEnd,
  info,
  log,
  table,
  time,
  timeEnd,
  timeLog,
  trace,
  warn,
} = console;
/** All write to the same log, wherever they are told to. */
export const Console = function () {
  return console;
};
export default console;
