/** Subresource Integrity: the hashes that a response's body must have one of. */

import { utf8Encode } from './encoding/utf8.ts';
import { Body } from './http/body.ts';
import type { ResponseState } from './http/response.ts';
import { toBase64 } from './late_intrinsics.ts';
import { digest } from './native.ts';

const STRENGTHS = ['sha256', 'sha384', 'sha512'];

interface Expected {
  strength: number;
  /** Base64 without padding. */
  hash: string;
}

/** SRI "parse metadata", reduced to the strongest algorithm that is named; unknown ones do not count. */
function strongest(metadata: string): Expected[] {
  let found: Expected[] = [];
  for (const item of metadata.split(/[\t\n\f\r ]+/)) {
    const match = /^(sha256|sha384|sha512)-([A-Za-z0-9+/_-]+)=*(?:\?|$)/i.exec(item);
    if (match === null) continue;
    const strength = STRENGTHS.indexOf(match[1].toLowerCase());
    const hash = match[2].replaceAll('-', '+').replaceAll('_', '/');
    if (found.length > 0 && found[0].strength > strength) continue;
    if (found.length > 0 && found[0].strength < strength) found = [];
    found.push({ strength, hash });
  }
  return found;
}

/**
 * Reads the body and checks it (Fetch "main fetch").
 * @throws TypeError when it has none of the hashes, or there is no body.
 */
export async function requireIntegrity(response: ResponseState, metadata: string): Promise<void> {
  const { body } = response;
  if (body === null) throw new TypeError('fetch failed: there is no body to check the integrity of');
  const { source, incoming } = body;
  const bytes = typeof source === 'string' ? utf8Encode(source) : (source ?? (await incoming!.collect()));
  response.body = new Body(bytes);
  const expected = strongest(metadata);
  if (expected.length === 0) return;
  const bits = [256, 384, 512][expected[0].strength];
  const actual = toBase64(digest(bits, bytes)).replace(/=+$/, '');
  if (!expected.some(({ hash }) => hash === actual)) {
    throw new TypeError('fetch failed: the body has none of the hashes that `integrity` names');
  }
}
