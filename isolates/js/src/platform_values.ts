/**
 * What the platform hands to the modules that come with it (`src/modules`), as the default export of
 * `internal:platform`. Apps cannot import that.
 */

import { AsyncLocalStorage, AsyncResource } from './async_context.ts';
import { atob, btoa } from './base64.ts';
import { Blob, File } from './blob.ts';
import { format } from './console.ts';
import { currentFlow } from './continuation.ts';
import { crypto } from './crypto/crypto.ts';
import { CryptoKey } from './crypto/crypto_key.ts';
import { TextDecoder, TextEncoder } from './encoding/text_encoding.ts';
import { utf8Encode } from './encoding/utf8.ts';
import { inspect } from './inspect.ts';
import { isError } from './late_intrinsics.ts';
import { digest, fillRandom, requireModule } from './native.ts';

/** Made at boot: most apps never import a module that needs it. */
export function platformValues(environment: object, processEnvironment: object, version: string) {
  return {
    AsyncLocalStorage,
    AsyncResource,
    atob,
    Blob,
    btoa,
    crypto,
    CryptoKey,
    digest,
    environment,
    File,
    fillRandom,
    format,
    inspect,
    isError,
    processEnvironment,
    TextDecoder,
    TextEncoder,
    version,
    /** The default export of a module of Node.js; undefined without one of that name. */
    getBuiltinModule(name: string): unknown {
      const namespace = requireModule(utf8Encode(`${name}`));
      return namespace === null ? undefined : (namespace.default ?? namespace);
    },
    waitUntil(promise: unknown): void {
      const origin = currentFlow()?.origin as { waitUntil?(promise: unknown): void } | null | undefined;
      if (typeof origin?.waitUntil !== 'function') throw new Error('waitUntil needs a request that the code runs for');
      origin.waitUntil(promise);
    },
  };
}

export type PlatformValues = ReturnType<typeof platformValues>;
