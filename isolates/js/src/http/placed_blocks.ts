/**
 * Blocks that an edge worker was told to write to, or to send from, and that nobody needs here any more. Each is put back
 * only when the edge worker has said its last word on it, as it may be at it until then.
 */

import { type Block, type BorrowedBlock, putBlockBack, returnBlock } from '../native.ts';
import { CANCEL, WINDOW } from '../ring/output.ts';

interface PlacedBlock {
  readonly connection: number;
  readonly stream: number;
  /** One of the two: a request's body is written to it, a response's is sent from it. */
  readonly block: Block | null;
  readonly borrowed: BorrowedBlock | null;
}

/** Mostly empty, and never long. */
let placed: PlacedBlock[] = [];

export function putBackLater(connection: number, stream: number, block: Block): void {
  placed[placed.length] = { connection, stream, block, borrowed: null };
}

export function returnBlockLater(connection: number, stream: number, borrowed: BorrowedBlock): void {
  placed[placed.length] = { connection, stream, block: null, borrowed };
}

/** The edge worker's last word on a stream: CANCEL, or WINDOW on the response alone, or END on the request alone. */
export function lastWord(connection: number, stream: number, type: number): void {
  if (placed.length === 0) return;
  putBack((one) => {
    if (one.connection !== connection || one.stream !== stream) return false;
    return type === CANCEL || (type === WINDOW) === (one.borrowed !== null);
  });
}

/** A connection closed: the edge worker writes no more, or what it writes goes nowhere. */
export function connectionLost(connection: number): void {
  putBack((one) => one.connection === connection);
}

function putBack(chosen: (one: PlacedBlock) => boolean): void {
  const others: PlacedBlock[] = [];
  for (let i = 0; i < placed.length; i++) {
    const one = placed[i];
    if (!chosen(one)) others[others.length] = one;
    else if (one.borrowed !== null) returnBlock(one.borrowed);
    else putBlockBack(one.block!);
  }
  placed = others;
}
