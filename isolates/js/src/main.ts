/**
 * Entry of the bundle. Evaluating it installs the web platform on the global object, without needing the host, so that
 * it can be part of a start-up snapshot; three functions are left for the host, all gone after boot:
 *
 * - `__brrrd_ring()` makes the buffers of the ring and returns `{input, output, scratch}` (ArrayBuffers, see
 *   `ring/memory.ts`). Optional: with buffers of the host's own the platform works too, only slower.
 * - `__brrrd_boot(native, config)` wires the platform to the host and returns `run()`, the loop. Optional before it:
 *   `__brrrd_prepare(native)`, which does all of that for which no app need be known, and returns what a rehearsal needs.
 */

// First: EventTarget and AbortSignal import each other, and this order resolves it.
import './events/abort.ts';
import { configureFetch, Fetcher } from './fetch.ts';
import { forgetTimeOrigin } from './clock.ts';
import { useContinuation } from './continuation.ts';
import { useCodec } from './encoding/utf8.ts';
import { finishGlobals, installAppGlobals, installGlobals } from './globals.ts';
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
import { configureServer, forgetRequests, type ServerLimits } from './server.ts';
import { configureSubrequests } from './subrequest.ts';

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

type Loop = ReturnType<typeof makeLoop>;

let wired: Loop | null = null;

/** The part of boot that is the same for every app. */
function wire(native: Native): Loop {
  const codec = ring !== null && ring.input === native.input ? ring.codec : null;
  takeLateIntrinsics();
  useNative(native);
  useInput(native.input, codec);
  useOutput(native.output, codec, flushOutput);
  useCodec(codec, native.scratch);
  useContinuation(native);
  finishGlobals();
  native.onRejected = promiseRejected;
  native.onHandled = promiseHandled;
  return (wired = makeLoop(native.poll));
}

interface Rehearsal {
  /** Loads a module as if it were the app's, and runs the loop; without one, runs the loop again. */
  play(main?: string): void;
  /** Leaves no trace of what was played. */
  forget(): void;
}

/**
 * Wires the platform to the host while no app is known yet. What a host plays then, with a handler of the platform's own,
 * an app's first request finds compiled and warm.
 */
function prepare(native: Native): Rehearsal {
  const run = wire(native);
  return {
    play(main) {
      run(main === undefined ? null : () => void load(native, main, false, false));
    },
    forget() {
      forgetRequests();
      forgetTimeOrigin();
    },
  };
}

function boot(native: Native, config: Config): () => void {
  const run = wired ?? wire(native);
  configureFetch(configureNavigator(config.version));
  configureSubrequests(config.limits.subrequests ?? 0);
  const bindings = config.assets === true ? { ASSETS: new Fetcher() } : {};
  const environment = Object.freeze({ ...bindings, ...config.environment });
  const processEnvironment = { ...config.environment };
  configureServer(config.limits, environment);
  configureScheduled(config.limits.cron_wall_ms, environment);
  installAppGlobals(processEnvironment, config.node);
  native.values = platformValues(environment, processEnvironment, config.version);
  let start: (() => void) | null = () => void load(native, config.main, config.node, config.scheduled === true);
  return () => {
    const first = start;
    start = null;
    run(first);
  };
}

const scope = globalThis as unknown as Record<string, unknown>;
scope.__brrrd_ring = makeRing;
scope.__brrrd_prepare = prepare;
scope.__brrrd_boot = boot;
installGlobals();
