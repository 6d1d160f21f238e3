/** The requests in flight that were not answered at once: by connection and stream, and in the order of their arrival. */

import { NumberMap } from './number_map.ts';

/** What the table needs of an entry; it sets the last three. */
export interface Entry {
  readonly connection: number;
  readonly stream: number;
  registered: boolean;
  previous: this | null;
  following: this | null;
}

export class InFlight<T extends Entry> {
  readonly #connections: (NumberMap<T> | undefined)[] = [];
  #newest: T | null = null;
  /** The entry that arrived first, and so the first to reach its deadline. */
  oldest: T | null = null;

  find(connection: number, stream: number): T | undefined {
    return this.#connections[connection]?.get(stream);
  }

  add(entry: T): void {
    let streams = this.#connections[entry.connection];
    if (streams === undefined) this.#connections[entry.connection] = streams = new NumberMap<T>();
    streams.set(entry.stream, entry);
    entry.registered = true;
    entry.previous = this.#newest;
    if (this.#newest === null) this.oldest = entry;
    else this.#newest.following = entry;
    this.#newest = entry;
  }

  remove(entry: T): void {
    this.#connections[entry.connection]?.delete(entry.stream);
    entry.registered = false;
    const { previous, following } = entry;
    if (previous === null) this.oldest = following;
    else previous.following = following;
    if (following === null) this.#newest = previous;
    else following.previous = previous;
    entry.previous = entry.following = null;
  }

  /** All entries of a connection that is gone; it is forgotten, they are still to be removed. */
  takeConnection(connection: number): T[] {
    const entries = this.#connections[connection]?.values() ?? [];
    this.#connections[connection] = undefined;
    return entries;
  }
}
