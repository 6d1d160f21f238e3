/** SHA-1, SHA-256, SHA-384 and SHA-512. */

import { digest } from '../native.ts';
import type { Algorithm } from './algorithm.ts';
import { NONE } from './parameters.ts';

/** The block sizes, in bits: HMAC keys have them by default. */
export const HASH_BLOCK_BITS: Record<string, number> = {
  'SHA-1': 512,
  'SHA-256': 512,
  'SHA-384': 1024,
  'SHA-512': 1024,
};

const hash = (name: string, number: number): Algorithm => ({
  name,
  digest: { parameters: NONE, run: (_, data) => digest(number, data) },
});

export const digestAlgorithms: Algorithm[] = [
  hash('SHA-1', 1),
  hash('SHA-256', 256),
  hash('SHA-384', 384),
  hash('SHA-512', 512),
];
