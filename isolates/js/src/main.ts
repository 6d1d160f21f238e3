/**
 * Entry of the bundle. Evaluating it installs the web platform on the global object, without needing the host, so that
 * it can be part of a start-up snapshot; two functions are left for the host, both gone after boot:
 *
 * - `__brrrd_ring()` makes the buffers of the ring and returns `{input, output, scratch}` (ArrayBuffers, see
 *   `ring/memory.ts`). Optional: with buffers of the host's own the platform works too, only slower.
 * - `__brrrd_boot(native, config)` wires the platform to the host and returns `run()`, the loop.
 */

// First: EventTarget and AbortSignal import each other, and this order resolves it.
import './events/abort.ts';
import { configureFetch, Fetcher } from './fetch.ts';
import { useContinuation } from './continuation.ts';
import { useCodec } from './encoding/utf8.ts';
import { finishGlobals, installGlobals } from './globals.ts';
import { load } from './load.ts';
import { takeLateIntrinsics } from './late_intrinsics.ts';
import { flushOutput, type Native, useNative } from './native.ts';
import { configureNavigator } from './navigator.ts';
import { platformValues } from './platform_values.ts';
import { promiseHandled, promiseRejected } from './rejections.ts';
import { useInput } from './ring/input.ts';
import { makeLoop } from './ring/loop.ts';
import { createRing, type RingBuffers } from './ring/memory.ts';
import { useOutput } from './ring/output.ts';
import { configureScheduled } from './scheduled.ts';
import { configureServer, type ServerLimits } from './server.ts';

interface Config {
  app_id: string;
  build_id: string;
  main: string;
  environment: Record<string, string>;
  limits: ServerLimits;
  node: boolean;
  /** There are static files. */
  assets?: boolean;
  /** The app has crons. */
  scheduled?: boolean;
  version: string;
}

let ring: RingBuffers | null = null;

function makeRing(): RingBuffers {
  ring = createRing();
  return ring;
}

function boot(native: Native, config: Config): () => void {
  const codec = ring !== null && ring.input === native.input ? ring.codec : null;
  takeLateIntrinsics();
  useNative(native);
  useInput(native.input, codec);
  useOutput(native.output, codec, flushOutput);
  useCodec(codec, native.scratch);
  useContinuation(native);
  configureFetch(configureNavigator(config.version), config.limits.subrequests ?? 0);
  const bindings = config.assets === true ? { ASSETS: new Fetcher() } : {};
  const environment = Object.freeze({ ...bindings, ...config.environment });
  const processEnvironment = { ...config.environment };
  configureServer(config.limits, environment);
  configureScheduled(config.limits.cron_wall_ms, environment);
  finishGlobals(processEnvironment, config.node);
  native.values = platformValues(environment, processEnvironment, config.version);
  native.onRejected = promiseRejected;
  native.onHandled = promiseHandled;
  return makeLoop(
    () => native.poll(),
    () => void load(native, config.main, config.node, config.scheduled === true),
  );
}

const scope = globalThis as unknown as Record<string, unknown>;
scope.__brrrd_ring = makeRing;
scope.__brrrd_boot = boot;
installGlobals();
