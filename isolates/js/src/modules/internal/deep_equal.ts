/** Deep strict equality, as `util.isDeepStrictEqual` and `assert.deepStrictEqual` of Node.js have it. */

const OBJECT = Object.prototype.toString;

export function isDeepStrictEqual(left: unknown, right: unknown): boolean {
  return equal(left, right, new Map());
}

function equal(left: unknown, right: unknown, seen: Map<object, object>): boolean {
  if (Object.is(left, right)) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  if (Object.getPrototypeOf(left) !== Object.getPrototypeOf(right)) return false;
  if (OBJECT.call(left) !== OBJECT.call(right)) return false;
  if (seen.get(left) === right) return true;
  seen.set(left, right);
  return contentEqual(left, right, seen) && propertiesEqual(left, right, seen);
}

function contentEqual(left: object, right: object, seen: Map<object, object>): boolean {
  if (left instanceof Date) return left.getTime() === (right as Date).getTime();
  if (left instanceof RegExp) return `${left}` === `${right as RegExp}`;
  if (left instanceof Error) return left.message === (right as Error).message && left.name === (right as Error).name;
  if (left instanceof Map) return mapsEqual(left, right as Map<unknown, unknown>, seen);
  if (left instanceof Set) return setsEqual(left, right as Set<unknown>, seen);
  if (left instanceof Number || left instanceof String || left instanceof Boolean)
    return Object.is(left.valueOf(), right.valueOf());
  if (left instanceof ArrayBuffer) return bytesEqual(new Uint8Array(left), new Uint8Array(right as ArrayBuffer));
  if (left instanceof DataView) return bytesEqual(bytesOf(left), bytesOf(right as DataView));
  if (ArrayBuffer.isView(left) || Array.isArray(left))
    return (left as unknown[]).length === (right as unknown[]).length;
  return true;
}

function bytesOf({ buffer, byteOffset, byteLength }: DataView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function bytesEqual(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}

function mapsEqual(left: Map<unknown, unknown>, right: Map<unknown, unknown>, seen: Map<object, object>): boolean {
  if (left.size !== right.size) return false;
  for (const [key, value] of left) {
    if (right.has(key)) {
      if (!equal(value, right.get(key), seen)) return false;
    } else if (![...right].some(([other, held]) => equal(key, other, seen) && equal(value, held, seen))) return false;
  }
  return true;
}

function setsEqual(left: Set<unknown>, right: Set<unknown>, seen: Map<object, object>): boolean {
  if (left.size !== right.size) return false;
  for (const value of left) {
    if (!right.has(value) && ![...right].some((other) => equal(value, other, seen))) return false;
  }
  return true;
}

function propertiesEqual(left: object, right: object, seen: Map<object, object>): boolean {
  const keys = ownKeys(left);
  if (keys.length !== ownKeys(right).length) return false;
  return keys.every(
    (key) =>
      Object.prototype.propertyIsEnumerable.call(right, key) &&
      equal(Reflect.get(left, key), Reflect.get(right, key), seen),
  );
}

function ownKeys(value: object): (string | symbol)[] {
  return Reflect.ownKeys(value).filter((key) => Object.prototype.propertyIsEnumerable.call(value, key));
}
