/** WebAssembly.compileStreaming and instantiateStreaming (WebAssembly Web API), over Response. */

import { listGet } from './http/headers.ts';
import { type Response, responseState } from './http/response.ts';

async function wasmBytes(source: unknown): Promise<ArrayBuffer> {
  const response = await source;
  const state = responseState(response);
  if (state === null) throw new TypeError('The source is not a Response');
  if (state.status < 200 || state.status > 299) throw new TypeError(`The response has the status ${state.status}`);
  const type = (listGet(state.list, 'content-type') ?? '').toLowerCase().trim();
  if (type !== 'application/wasm')
    throw new TypeError(`The response has the type ${type || 'none'}, not application/wasm`);
  const bytes = (response as Response & { arrayBuffer(): Promise<ArrayBuffer> }).arrayBuffer();
  return bytes;
}

/** Adds both functions. Called when the platform is installed. */
export function installWasmStreaming(): void {
  const { compile, instantiate } = WebAssembly;
  const functions = {
    async compileStreaming(source: unknown): Promise<WebAssembly.Module> {
      return compile(await wasmBytes(source));
    },
    async instantiateStreaming(source: unknown, imports?: object): Promise<unknown> {
      return instantiate(await wasmBytes(source), imports);
    },
  };
  for (const [name, value] of Object.entries(functions)) {
    Object.defineProperty(WebAssembly, name, { value, writable: true, enumerable: true, configurable: true });
  }
}
