/** Requests with a body, to the egress and the cache process alike: what fits goes with the head, the rest follows. */

import { subarray } from '../primordials.ts';
import { Outgoing, type OutgoingOwner } from '../ring/outgoing.ts';
import {
  END,
  MAX_DATA_BYTES,
  MAX_TEXT_UNITS,
  REQUEST,
  sendHead,
  sendHeadAndBytes,
  sendHeadAndText,
} from '../ring/output.ts';
import { type Body, streamOf } from './body.ts';

/** A call that sends a body on its stream. */
export interface Sender extends OutgoingOwner {
  readonly stream: number;
  /** Set before anything of the body is asked for, since that may run code of the app's, which may end the call. */
  outgoing: Outgoing | null;
}

/** Sends the REQUEST of `sender` with its body. */
export function sendWithBody(connection: number, sender: Sender, head: string, body: Body): void {
  const { stream } = sender;
  const { source } = body;
  const follow = (sent: number): Outgoing => (sender.outgoing = new Outgoing(connection, stream, sender, sent));
  if (source === null) {
    sendHead(connection, stream, REQUEST, 0, 0, head);
    void follow(0).sendStream(streamOf(body));
  } else if (typeof source === 'string') {
    if (source.length <= MAX_TEXT_UNITS) sendHeadAndText(connection, stream, REQUEST, END, 0, head, source);
    else {
      sendHead(connection, stream, REQUEST, 0, 0, head);
      follow(0).sendText(source);
    }
  } else if (source.length <= MAX_DATA_BYTES) {
    sendHeadAndBytes(connection, stream, REQUEST, END, 0, head, source);
  } else {
    sendHeadAndBytes(connection, stream, REQUEST, 0, 0, head, subarray(source, 0, MAX_DATA_BYTES));
    follow(MAX_DATA_BYTES).sendAll(source, MAX_DATA_BYTES);
  }
}
