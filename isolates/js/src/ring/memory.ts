/**
 * The three buffers that the host and the platform share, and the engine's own UTF-8 codec over them.
 *
 * The buffers are memories of one small WebAssembly module, because V8 can encode and decode strings natively to and
 * from a wasm memory (`string.encode_lossy_utf8` and friends of the stringref proposal): 10 KB of text cost 0.6 µs
 * instead of 50 µs in a JavaScript loop. The proposal is behind `--experimental-wasm-stringref`, which need only be
 * set while the platform boots; without it the module has the memories alone and `codec` is null. Being ordinary and
 * not shared memories, `set` from and into them is a plain memory copy (a shared one is ten times slower); the host
 * touches them only on the isolate's own thread, inside `native.poll` and `native.call`.
 */

/** Text operations on the ring's memories; offsets and lengths in bytes, `lossy` as in the Encoding standard. */
export interface NativeCodec {
  /** Writes `text` to output at `at`; the room must be `text.length * 3`. Returns the bytes written. */
  encodeOutput(text: string, at: number): number;
  encodeScratch(text: string, at: number): number;
  /** Null when the bytes are not UTF-8. */
  decodeInputStrict(at: number, length: number): string | null;
  decodeScratch(at: number, length: number): string;
  /** Null when the bytes are not UTF-8. */
  decodeScratchStrict(at: number, length: number): string | null;
}

export interface RingBuffers {
  input: ArrayBuffer;
  output: ArrayBuffer;
  scratch: ArrayBuffer;
  codec: NativeCodec | null;
}

/** Bytes of the header before the segments (see `ring/loop.ts`). */
export const RING_HEADER_BYTES = 64;
const PAGES = 17; // 1 MiB and the header

const I32 = 0x7f;
const STRINGREF = 0x67;
const NEW_UTF8_TRY = 0x8f;
const NEW_LOSSY_UTF8 = 0x8b;
const ENCODE_LOSSY_UTF8 = 0x8d;
const GET_0 = [0x20, 0];
const GET_1 = [0x20, 1];
const END = 0x0b;

/** One export: its name, type index and instructions. */
type Exported = [name: string, type: number, code: number[]];

function section(id: number, body: number[]): number[] {
  return [id, ...unsigned(body.length), ...body];
}

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  do {
    const low = value & 127;
    value >>>= 7;
    bytes.push(value === 0 ? low : low | 128);
  } while (value !== 0);
  return bytes;
}

function stringInstruction(code: number, ...immediates: number[]): number[] {
  return [0xfb, ...unsigned(code), ...immediates];
}

function text(value: string): number[] {
  return [value.length, ...Array.from(value, (character) => character.charCodeAt(0))];
}

function moduleBytes(functions: Exported[], types: number[][]): Uint8Array {
  const memories = ['input', 'output', 'scratch'];
  const exports = [
    ...memories.flatMap((name, index) => [...text(name), 2, index]),
    ...functions.flatMap(([name], index) => [...text(name), 0, index]),
  ];
  const bodies = functions.map(([, , code]) => [0, ...code, END]);
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [types.length, ...types.flat()]),
    ...section(3, [functions.length, ...functions.map(([, type]) => type)]),
    ...section(5, [memories.length, ...memories.flatMap(() => [1, PAGES, PAGES])]),
    ...section(7, [memories.length + functions.length, ...exports]),
    ...section(10, [bodies.length, ...bodies.flatMap((body) => [...unsigned(body.length), ...body])]),
  ]);
}

function codecModule(): Uint8Array {
  const types = [
    [0x60, 2, STRINGREF, I32, 1, I32],
    [0x60, 2, I32, I32, 1, STRINGREF],
  ];
  const both = [...GET_0, ...GET_1];
  return moduleBytes(
    [
      ['encodeOutput', 0, [...both, ...stringInstruction(ENCODE_LOSSY_UTF8, 1)]],
      ['encodeScratch', 0, [...both, ...stringInstruction(ENCODE_LOSSY_UTF8, 2)]],
      ['decodeInputStrict', 1, [...both, ...stringInstruction(NEW_UTF8_TRY, 0)]],
      ['decodeScratch', 1, [...both, ...stringInstruction(NEW_LOSSY_UTF8, 2)]],
      ['decodeScratchStrict', 1, [...both, ...stringInstruction(NEW_UTF8_TRY, 2)]],
    ],
    types,
  );
}

/** Makes the buffers. Called once per isolate, at boot: wasm instances cannot be in a start-up snapshot. */
export function createRing(): RingBuffers {
  // Read here: a context that is made for a snapshot has no WebAssembly.
  const { Module, Instance } = WebAssembly;
  let instance: WebAssembly.Instance;
  let codec: NativeCodec | null = null;
  try {
    instance = new Instance(new Module(codecModule()));
    codec = instance.exports as unknown as NativeCodec;
  } catch {
    // The stringref proposal is off or gone: the platform's own loops do the work, slower.
    instance = new Instance(new Module(moduleBytes([], [])));
  }
  const buffer = (name: string) => (instance.exports[name] as WebAssembly.Memory).buffer;
  return { input: buffer('input'), output: buffer('output'), scratch: buffer('scratch'), codec };
}
