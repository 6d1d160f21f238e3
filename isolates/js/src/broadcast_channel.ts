/**
 * BroadcastChannel (HTML §9.5): channels of one name in all isolates of the app on this node. Those of this isolate get a
 * clone; for the others the message goes to the egress process, which passes it on to those that opened the name.
 */

import { monotonic } from './clock.ts';
import { DOMException } from './dom_exception.ts';
import { eventState, MessageEvent } from './events/event.ts';
import { defineHandler, dispatch, EventTarget } from './events/event_target.ts';
import { limitHit } from './log.ts';
import { currentRequestId } from './continuation.ts';
import { min, SafeMap } from './primordials.ts';
import { readBytes } from './ring/input.ts';
import {
  BROADCAST,
  EGRESS_CONNECTION,
  END,
  MAX_DATA_BYTES,
  sendHead,
  sendHeadAndBytes,
  sendHeadAndText,
  SUBSCRIBE,
  UNSUBSCRIBE,
} from './ring/output.ts';
import { deserialize } from './clone/deserialize.ts';
import { serialize, TooLarge } from './clone/serialize.ts';
import { structuredClone } from './clone/structured_clone.ts';
import { queueTask } from './ring/tasks.ts';
import { setInternalTimer } from './timers.ts';
import { defineInterface, requireArguments, toDOMString } from './webidl.ts';

const MAX_NAMES = 1000;
const MAX_NAME_UNITS = 1024;
/** What one isolate may send in a second. `router/egress/broadcast.py` bounds what an app's isolates may together. */
const MESSAGES_PER_SECOND = 1000;
const BYTES_PER_SECOND = 4 << 20;
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 5000;
const SILENT_MS = 1000;

/** The limit's name in the log and in metrics. */
const LIMIT = 'broadcast';

/** The open channels of a name, in the order in which they were made. */
class Name {
  readonly number: number;
  readonly text: string;
  channels: BroadcastChannel[] = [];
  constructor(number: number, text: string) {
    this.number = number;
    this.text = text;
  }
}

const byText = new SafeMap<string, Name>();
const byNumber = new SafeMap<number, Name>();
let lastNumber = 0;
let retryMs = FIRST_RETRY_MS;
let retrying = false;

let messagesLeft = MESSAGES_PER_SECOND;
let bytesLeft = BYTES_PER_SECOND;
let countedAt = 0;
/** When a refusal was last in the log, by its text. */
const saidAt = new SafeMap<string, number>();

let isOpen: (channel: BroadcastChannel) => boolean;

export class BroadcastChannel extends EventTarget {
  #name: string;
  #open = true;

  constructor(name: string) {
    requireArguments(arguments.length, 1, "Failed to construct 'BroadcastChannel'");
    super();
    this.#name = toDOMString(name);
    const opened = byText.get(this.#name) ?? open(this.#name);
    opened.channels = [...opened.channels, this];
  }

  static {
    isOpen = (channel) => channel.#open;
  }

  get name(): string {
    return this.#name;
  }

  postMessage(message: unknown): void {
    const text = this.#name;
    requireArguments(arguments.length, 1, 'BroadcastChannel.postMessage');
    if (!this.#open) throw new DOMException('The channel is closed', 'InvalidStateError');
    checkRate();
    // Cloned now, so that a value that cannot be is the sender's error; and once more for each receiver.
    const sent = structuredClone(message);
    const name = byText.get(text)!;
    sendHeadAndBytes(EGRESS_CONNECTION, name.number, BROADCAST, END, 0, '', bytesOf(sent));
    const { channels } = name;
    for (let i = 0; i < channels.length; i++) {
      if (channels[i] !== this) queueTask(() => deliver(channels[i], () => structuredClone(sent)));
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const name = byText.get(this.#name)!;
    name.channels = name.channels.filter((channel) => channel !== this);
    if (name.channels.length > 0) return;
    byText.delete(name.text);
    byNumber.delete(name.number);
    sendHead(EGRESS_CONNECTION, name.number, UNSUBSCRIBE, END, 0, '');
  }
}

/** The first channel of a name: from now on messages of other isolates come in. */
function open(text: string): Name {
  if (text.length > MAX_NAME_UNITS) throw exceeded(`A channel's name has at most ${MAX_NAME_UNITS} characters`);
  if (byText.size >= MAX_NAMES) throw exceeded(`An isolate has channels of at most ${MAX_NAMES} names at a time`);
  const name = new Name(++lastNumber, text);
  byText.set(text, name);
  byNumber.set(name.number, name);
  subscribe(name);
  return name;
}

function subscribe(name: Name): void {
  sendHeadAndText(EGRESS_CONNECTION, name.number, SUBSCRIBE, END, 0, '', name.text);
}

/** A clone for other isolates. @throws DOMException when it has no bytes, or too many. */
function bytesOf(sent: unknown): Uint8Array<ArrayBuffer> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = serialize(sent, MAX_DATA_BYTES);
  } catch (error) {
    if (!(error instanceof TooLarge)) throw error;
    throw exceeded(`The message has more than ${MAX_DATA_BYTES} bytes, which is as much as a BroadcastChannel carries`);
  }
  messagesLeft--;
  bytesLeft -= bytes.length;
  return bytes;
}

/** @throws DOMException when the isolate may send no more now. Before anything is cloned, which costs time. */
function checkRate(): void {
  const now = monotonic();
  const seconds = (now - countedAt) / 1000;
  countedAt = now;
  messagesLeft = min(MESSAGES_PER_SECOND, messagesLeft + seconds * MESSAGES_PER_SECOND);
  bytesLeft = min(BYTES_PER_SECOND, bytesLeft + seconds * BYTES_PER_SECOND);
  if (messagesLeft >= 1 && bytesLeft >= MAX_DATA_BYTES) return;
  const rate = `${MESSAGES_PER_SECOND} messages and ${BYTES_PER_SECOND >> 20} MiB per second`;
  throw exceeded(`An isolate may send ${rate} over BroadcastChannel`);
}

/** Said in the log once in a while: whoever is over a limit usually is a thousand times. */
function exceeded(message: string): DOMException {
  const now = monotonic();
  if (now >= (saidAt.get(message) ?? 0) + SILENT_MS) {
    saidAt.set(message, now);
    limitHit(LIMIT, `${message} (limit ${LIMIT})`, currentRequestId());
  }
  return new DOMException(message, 'QuotaExceededError');
}

/** A BROADCAST frame of the egress process. `missed`: messages before it that could not be passed on to this isolate. */
export function receiveBroadcast(number: number, missed: number, split: number, end: number): void {
  if (missed > 0) {
    const why = 'this isolate did not take them in time, or the app sends more than it may';
    limitHit(LIMIT, `${missed} messages over BroadcastChannel were dropped: ${why} (limit ${LIMIT})`, '');
  }
  retryMs = FIRST_RETRY_MS;
  const name = byNumber.get(number);
  if (name === undefined || end === split) return;
  const bytes = readBytes(split, end);
  const { channels } = name;
  for (let i = 0; i < channels.length; i++) queueTask(() => deliver(channels[i], () => deserialize(bytes)));
}

/** The connection to the egress process is gone, and with it what it knew of this isolate's channels. */
export function broadcastLost(): void {
  if (byText.size === 0 || retrying) return;
  retrying = true;
  setInternalTimer(() => {
    retrying = false;
    byText.forEach(subscribe);
  }, retryMs);
  retryMs = min(2 * retryMs, LAST_RETRY_MS);
}

/** Each channel gets a value of its own, so what makes it is called here. */
function deliver(channel: BroadcastChannel, make: () => unknown): void {
  if (!isOpen(channel)) return;
  let event: MessageEvent;
  try {
    event = new MessageEvent('message', { data: make() });
  } catch {
    event = new MessageEvent('messageerror');
  }
  eventState(event).trusted = true;
  dispatch(channel, event);
}

defineHandler(BroadcastChannel.prototype, 'message');
defineHandler(BroadcastChannel.prototype, 'messageerror');
defineInterface(BroadcastChannel, 'BroadcastChannel');
