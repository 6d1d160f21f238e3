/** Default iterator objects of pair iterables (Web IDL §3.7.10): Headers, FormData, URLSearchParams. */

import { SafeWeakMap } from './primordials.ts';

export type IterationKind = 'key' | 'value' | 'both';

interface Cursor {
  pairs: () => [unknown, unknown][];
  kind: IterationKind;
  index: number;
}

const cursors = new SafeWeakMap<object, Cursor>();
const IteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())) as object;

/** The prototype of the iterators of the interface `name`. */
export function iteratorPrototype(name: string): object {
  return Object.create(IteratorPrototype, {
    next: {
      value: function next(this: object): IteratorResult<unknown> {
        const cursor = cursors.get(this);
        if (cursor === undefined) throw new TypeError(`The receiver is not a ${name} Iterator`);
        const pairs = cursor.pairs();
        if (cursor.index >= pairs.length) return { value: undefined, done: true };
        const pair = pairs[cursor.index++];
        const value = cursor.kind === 'key' ? pair[0] : cursor.kind === 'value' ? pair[1] : [pair[0], pair[1]];
        return { value, done: false };
      },
      writable: true,
      enumerable: true,
      configurable: true,
    },
    [Symbol.toStringTag]: { value: `${name} Iterator`, configurable: true },
  }) as object;
}

/** An iterator over what `pairs` gives at each step, so that changes during iteration are seen. */
export function makeIterator(
  prototype: object,
  pairs: () => [unknown, unknown][],
  kind: IterationKind,
): Iterator<unknown> {
  const iterator = Object.create(prototype) as Iterator<unknown>;
  cursors.set(iterator, { pairs, kind, index: 0 });
  return iterator;
}
