/** AsyncLocalStorage over the engine's continuation: no hooks into promises, nothing lost over `await`. */

import { currentFlow, type Flow, getContinuation, setContinuation, type Stores } from './continuation.ts';
import { ReflectApply, SafeMap } from './primordials.ts';

function withStore(key: object, value: unknown): Flow {
  const flow = currentFlow();
  const stores: Stores = new SafeMap<object, unknown>();
  flow?.stores?.forEach((other, storage) => stores.set(storage, other));
  stores.set(key, value);
  return { origin: flow?.origin ?? null, stores };
}

function runIn(
  continuation: unknown,
  callback: (...args: unknown[]) => unknown,
  self: unknown,
  args: unknown[],
): unknown {
  const previous = getContinuation();
  setContinuation(continuation);
  try {
    return ReflectApply(callback, self, args);
  } finally {
    setContinuation(previous);
  }
}

type Callback = (...args: unknown[]) => unknown;

export class AsyncLocalStorage {
  #default: unknown;
  #name: string;
  #disabled = false;

  constructor(options?: { defaultValue?: unknown; name?: string }) {
    this.#default = options?.defaultValue;
    this.#name = options?.name === undefined ? '' : `${options.name}`;
  }

  static bind(callback: Callback): Callback {
    const continuation = getContinuation();
    return function (this: unknown, ...args: unknown[]) {
      return runIn(continuation, callback, this, args);
    };
  }

  static snapshot(): (callback: Callback, ...args: unknown[]) => unknown {
    const continuation = getContinuation();
    return function (this: unknown, callback: Callback, ...args: unknown[]) {
      return runIn(continuation, callback, this, args);
    };
  }

  get name(): string {
    return this.#name;
  }

  run(store: unknown, callback: Callback, ...args: unknown[]): unknown {
    this.#disabled = false;
    return runIn(withStore(this, store), callback, undefined, args);
  }

  exit(callback: Callback, ...args: unknown[]): unknown {
    return runIn(withStore(this, undefined), callback, undefined, args);
  }

  enterWith(store: unknown): void {
    this.#disabled = false;
    setContinuation(withStore(this, store));
  }

  disable(): void {
    this.#disabled = true;
  }

  getStore(): unknown {
    if (this.#disabled) return undefined;
    const stores = currentFlow()?.stores;
    return stores !== null && stores !== undefined && stores.has(this) ? stores.get(this) : this.#default;
  }
}

/** node:async_hooks' AsyncResource, as far as context goes. */
export class AsyncResource {
  #continuation: unknown = getContinuation();
  readonly type: string;

  constructor(type: string) {
    this.type = `${type}`;
  }

  static bind(callback: Callback): Callback {
    return AsyncLocalStorage.bind(callback);
  }

  runInAsyncScope(callback: Callback, self?: unknown, ...args: unknown[]): unknown {
    return runIn(this.#continuation, callback, self, args);
  }

  bind(callback: Callback): Callback {
    return (...args) => this.runInAsyncScope(callback, undefined, ...args);
  }

  emitDestroy(): this {
    return this;
  }

  asyncId(): number {
    return 1;
  }

  triggerAsyncId(): number {
    return 0;
  }
}
