/**
 * Blocks that an edge worker was told to write to, or to send from, and that nobody needs here any more. Each is put back
 * only when the edge worker has said its last word on it, as it may be at it until then.
 */

import { type Block, type BorrowedBlock, putBlockBack, returnBlock } from '../native.ts';
import { CANCEL, WINDOW } from '../ring/output.ts';

interface PlacedBlock {
  readonly connection: number;
  readonly stream: number;
  readonly block: Block;
  /** A response's body is sent from it; else a request's is written to it. */
  readonly borrowed: boolean;
}

/** Mostly empty, and never long. */
let placed: PlacedBlock[] = [];

export function putBackLater(connection: number, stream: number, block: Block): void {
  placed[placed.length] = { connection, stream, block, borrowed: false };
}

export function returnBlockLater(connection: number, stream: number, block: BorrowedBlock): void {
  placed[placed.length] = { connection, stream, block, borrowed: true };
}

/** The edge worker's last word on a stream: CANCEL, or WINDOW on the response alone, or END on the request alone. */
export function lastWord(connection: number, stream: number, type: number): void {
  if (placed.length === 0) return;
  putBack((one) => {
    if (one.connection !== connection || one.stream !== stream) return false;
    return type === CANCEL || (type === WINDOW) === one.borrowed;
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
    else if (one.borrowed) returnBlock(one.block);
    else putBlockBack(one.block);
  }
  placed = others;
}
