/** Packages and modules that come without types, as far as they are used here. */

type AnyFunction = (...args: any[]) => any;

declare module 'internal:platform' {
  /** As `src/platform_values.ts` makes it. */
  const values: {
    AsyncLocalStorage: new () => unknown;
    AsyncResource: new (type: string) => unknown;
    atob: AnyFunction;
    Blob: typeof Blob;
    btoa: AnyFunction;
    crypto: Crypto;
    CryptoKey: AnyFunction;
    digest(algorithm: number, data: Uint8Array): Uint8Array<ArrayBuffer>;
    environment: Record<string, unknown>;
    File: typeof File;
    fillRandom(target: Uint8Array): void;
    format(args: unknown[]): string;
    getBuiltinModule(name: string): unknown;
    inspect(value: unknown, options?: { depth?: number }): string;
    isError(value: unknown): boolean;
    processEnvironment: Record<string, string>;
    TextDecoder: typeof TextDecoder;
    TextEncoder: typeof TextEncoder;
    version: string;
    waitUntil(promise: unknown): void;
  };
  export default values;
}

declare module 'events' {
  const EventEmitter: (new (options?: object) => any) & AnyFunction & Record<string, any>;
  export default EventEmitter;
}

declare module 'readable-stream' {
  const stream: Record<string, any>;
  export default stream;
}

declare module 'string_decoder' {
  export const StringDecoder: new (encoding?: string) => any;
}

declare module 'path-browserify' {
  const path: Record<string, any>;
  export default path;
}

declare module 'buffer' {
  export type Buffer = any;
  export const Buffer: any;
  export const INSPECT_MAX_BYTES: number;
  export const kMaxLength: number;
  export const SlowBuffer: AnyFunction;
}

declare module 'unenv/*';
