/** `node:process`, as far as there is one here: environment, ticks and clocks, no arguments, files or signals. */

import values from 'internal:platform';
import { Process } from 'unenv/node/internal/process/process';

const NODE_VERSION = '22.19.0';
const start = performance.now();

function hrtime(previous?: [number, number]): [number, number] {
  const now = performance.now() - start;
  let seconds = Math.floor(now / 1000);
  let nanoseconds = Math.round((now % 1000) * 1e6);
  if (previous !== undefined) {
    seconds -= previous[0];
    nanoseconds -= previous[1];
    if (nanoseconds < 0) [seconds, nanoseconds] = [seconds - 1, nanoseconds + 1e9];
  }
  return [seconds, nanoseconds];
}
hrtime.bigint = (): bigint => BigInt(Math.round((performance.now() - start) * 1e6));

function nextTick(callback: AnyFunction, ...args: unknown[]): void {
  if (typeof callback !== 'function') throw new TypeError('The "callback" argument must be of type function');
  queueMicrotask(() => void callback(...args));
}

const process = new Process({ env: values.processEnvironment, hrtime, nextTick });
const facts: Record<string, unknown> = {
  arch: 'x64',
  platform: 'linux',
  argv: ['node'],
  argv0: 'node',
  execPath: '/usr/bin/node',
  title: 'node',
  version: `v${NODE_VERSION}`,
  versions: { node: NODE_VERSION, v8: values.version },
  release: { name: 'node' },
  getBuiltinModule: values.getBuiltinModule,
  uptime: () => (performance.now() - start) / 1000,
  emitWarning: (warning: unknown) => console.warn(warning),
};
for (const name of Object.keys(facts)) {
  Object.defineProperty(process, name, { value: facts[name], writable: true, enumerable: true, configurable: true });
}

// What Node.js tells here, as long as somebody listens; nothing ends the process.
addEventListener('unhandledrejection', (event) => {
  if (process.emit('unhandledRejection', event.reason, event.promise)) event.preventDefault();
});
addEventListener('rejectionhandled', (event) => void process.emit('rejectionHandled', event.promise));
addEventListener('error', (event) => {
  if (process.emit('uncaughtException', event.error, 'uncaughtException')) event.preventDefault();
});

export const {
  abort,
  addListener,
  arch,
  argv,
  argv0,
  availableMemory,
  chdir,
  config,
  constrainedMemory,
  cpuUsage,
  cwd,
  emit,
  emitWarning,
  env,
  eventNames,
  execArgv,
  execPath,
  exit,
  exitCode,
  features,
  getBuiltinModule,
  getegid,
  geteuid,
  getgid,
  getgroups,
  getuid,
  kill,
  listenerCount,
  listeners,
  loadEnvFile,
  memoryUsage,
  off,
  on,
  once,
  pid,
  platform,
  ppid,
  prependListener,
  prependOnceListener,
  rawListeners,
  release,
  removeAllListeners,
  removeListener,
  report,
  resourceUsage,
  setMaxListeners,
  setSourceMapsEnabled,
  setUncaughtExceptionCaptureCallback,
  stderr,
  stdin,
  stdout,
  title,
  umask,
  uptime,
  version,
  versions,
} = process;
export { hrtime, nextTick };
export default process;
