/** Types of what the engine and the bundled packages give that no TypeScript library file describes. */

declare namespace WebAssembly {
  class Module {
    constructor(bytes: ArrayBufferView | ArrayBuffer);
  }
  class Instance {
    constructor(module: Module, imports?: object);
    readonly exports: Record<string, unknown>;
  }
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number; shared?: boolean });
    readonly buffer: ArrayBuffer;
  }
  function compile(bytes: ArrayBufferView | ArrayBuffer): Promise<Module>;
  function instantiate(
    source: Module | ArrayBufferView | ArrayBuffer,
    imports?: object,
  ): Promise<{ module: Module; instance: Instance }>;
}

declare module 'whatwg-url/state-machine' {
  export type Host = string | number | number[];
  export interface URLRecord {
    scheme: string;
    username: string;
    password: string;
    host: Host | null;
    port: number | null;
    path: string[] | string;
    query: string | null;
    fragment: string | null;
  }
  export function basicURLParse(
    input: string,
    options?: { baseURL?: URLRecord | null; url?: URLRecord; stateOverride?: string },
  ): URLRecord | null;
  export function serializeURL(url: URLRecord, excludeFragment?: boolean): string;
  export function serializePath(url: URLRecord): string;
  export function serializeURLOrigin(url: URLRecord): string;
  export function serializeHost(host: Host): string;
  export function setTheUsername(url: URLRecord, username: string): void;
  export function setThePassword(url: URLRecord, password: string): void;
  export function cannotHaveAUsernamePasswordPort(url: URLRecord): boolean;
  export function hasAnOpaquePath(url: URLRecord): boolean;
}
