/**
 * Blocks that an edge worker was told to write to, and whose bodies nobody waits for any more. Each is put back only when
 * the edge worker has said its last word on the stream, as it may be writing until then.
 */

import { type Block, putBlockBack } from '../native.ts';

interface PlacedBlock {
  readonly connection: number;
  readonly stream: number;
  readonly block: Block;
}

/** Mostly empty, and never long. */
let placed: PlacedBlock[] = [];

export function putBackLater(connection: number, stream: number, block: Block): void {
  placed[placed.length] = { connection, stream, block };
}

/** The edge worker's last word on a stream. */
export function lastWord(connection: number, stream: number): void {
  if (placed.length > 0) putBack((one) => one.connection === connection && one.stream === stream);
}

/** A connection closed: the edge worker writes no more, or what it writes goes nowhere. */
export function connectionLost(connection: number): void {
  putBack((one) => one.connection === connection);
}

function putBack(chosen: (one: PlacedBlock) => boolean): void {
  const others: PlacedBlock[] = [];
  for (let i = 0; i < placed.length; i++) {
    if (chosen(placed[i])) putBlockBack(placed[i].block);
    else others[others.length] = placed[i];
  }
  placed = others;
}
