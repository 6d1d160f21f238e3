/** BroadcastChannel (HTML §9.5) within one isolate: channels of other isolates of the app are not reached. */

import { DOMException } from './dom_exception.ts';
import { eventState, MessageEvent } from './events/event.ts';
import { defineHandler, dispatch, EventTarget } from './events/event_target.ts';
import { SafeMap } from './primordials.ts';
import { structuredClone } from './structured_clone.ts';
import { setInternalTimer } from './timers.ts';
import { defineInterface, requireArguments, toDOMString } from './webidl.ts';

/** The open channels of each name, in the order in which they were made. */
const channels = new SafeMap<string, BroadcastChannel[]>();

let isOpen: (channel: BroadcastChannel) => boolean;

export class BroadcastChannel extends EventTarget {
  #name: string;
  #open = true;

  constructor(name: string) {
    requireArguments(arguments.length, 1, "Failed to construct 'BroadcastChannel'");
    super();
    this.#name = toDOMString(name);
    channels.set(this.#name, [...(channels.get(this.#name) ?? []), this]);
  }

  static {
    isOpen = (channel) => channel.#open;
  }

  get name(): string {
    return this.#name;
  }

  postMessage(message: unknown): void {
    const name = this.#name;
    requireArguments(arguments.length, 1, 'BroadcastChannel.postMessage');
    if (!this.#open) throw new DOMException('The channel is closed', 'InvalidStateError');
    // Cloned now, so that a value that cannot be is the sender's error; and once more for each receiver.
    const sent = structuredClone(message);
    const list = channels.get(name) ?? [];
    for (let i = 0; i < list.length; i++) {
      if (list[i] !== this) setInternalTimer(() => deliver(list[i], sent), 0);
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const others = (channels.get(this.#name) ?? []).filter((channel) => channel !== this);
    if (others.length > 0) channels.set(this.#name, others);
    else channels.delete(this.#name);
  }
}

function deliver(channel: BroadcastChannel, sent: unknown): void {
  if (!isOpen(channel)) return;
  const event = new MessageEvent('message', { data: structuredClone(sent) });
  eventState(event).trusted = true;
  dispatch(channel, event);
}

defineHandler(BroadcastChannel.prototype, 'message');
defineHandler(BroadcastChannel.prototype, 'messageerror');
defineInterface(BroadcastChannel, 'BroadcastChannel');
