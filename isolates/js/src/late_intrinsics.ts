/**
 * Intrinsics that do not exist while a start-up snapshot is made: V8 adds its newest features, SharedArrayBuffer and
 * WebAssembly when a context is created from it. They are taken at boot, still before any app code.
 */

import { ObjectGetOwnPropertyDescriptor, uncurryThis } from './primordials.ts';

interface ModernBytes {
  toHex(): string;
  toBase64(): string;
}

export let toHex: (bytes: Uint8Array) => string;
type Base64Options = { alphabet?: 'base64' | 'base64url'; omitPadding?: boolean };
export let toBase64: (bytes: Uint8Array, options?: Base64Options) => string;
export let fromBase64: (text: string, options?: Base64Options) => Uint8Array<ArrayBuffer>;
/** Whether a value is a genuine error object, of whatever realm or prototype. */
export let isError: (value: unknown) => boolean;
/** The stack that the engine noted when an error was made, or that was assigned since; else undefined. */
export let errorStack: (error: object) => unknown;
/** Throws for everything but a SharedArrayBuffer. */
export let sharedArrayBufferByteLength: (value: unknown) => number;
export let Float16ArrayCtor:
  (new (buffer: ArrayBuffer, offset: number, length?: number) => ArrayBufferView) | undefined;

/** Called at boot. */
export function takeLateIntrinsics(): void {
  const bytes = Uint8Array.prototype as unknown as ModernBytes;
  const Uint8 = Uint8Array as unknown as { fromBase64: typeof fromBase64 };
  toHex = uncurryThis(bytes.toHex as (this: unknown) => string) as typeof toHex;
  toBase64 = uncurryThis(bytes.toBase64 as (this: unknown) => string) as typeof toBase64;
  fromBase64 = Uint8.fromBase64.bind(Uint8);
  ({ isError } = Error as unknown as { isError: typeof isError });
  errorStack = uncurryThis(ObjectGetOwnPropertyDescriptor(new Error(), 'stack')!.get as (this: unknown) => unknown);
  sharedArrayBufferByteLength = uncurryThis(
    ObjectGetOwnPropertyDescriptor(SharedArrayBuffer.prototype, 'byteLength')!.get as (this: unknown) => number,
  );
  ({ Float16Array: Float16ArrayCtor } = globalThis as unknown as { Float16Array?: typeof Float16ArrayCtor });
}
