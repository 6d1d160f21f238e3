/**
 * A response whose body is in memory that the edge worker shares: the edge worker sends it to the client from there, and
 * has the last word on it. Until then the request keeps its slot, as those do whose bodies leave in frames.
 */

import { type BorrowedBlock, returnBlock } from '../native.ts';
import type { OutgoingBody, OutgoingOwner } from '../ring/outgoing.ts';
import { returnBlockLater } from './placed_blocks.ts';

export class PlacedResponse implements OutgoingBody {
  readonly #connection: number;
  readonly #stream: number;
  readonly #owner: OutgoingOwner;
  /** Null once it is over. */
  #block: BorrowedBlock | null;

  constructor(connection: number, stream: number, owner: OutgoingOwner, block: BorrowedBlock) {
    this.#connection = connection;
    this.#stream = stream;
    this.#owner = owner;
    this.#block = block;
  }

  /** All of it has left: there is no other grant for such a body. */
  grant(): void {
    if (this.#block === null) return;
    returnBlock(this.#block);
    this.#block = null;
    this.#owner.bodySent();
  }

  /** The edge worker may be sending it still. */
  close(): void {
    if (this.#block === null) return;
    returnBlockLater(this.#connection, this.#stream, this.#block);
    this.#block = null;
  }
}
