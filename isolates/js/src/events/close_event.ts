/** CloseEvent (WebSockets §5). */

import { defineInterface, toDictionary, toUnsignedShort, toUSVString } from '../webidl.ts';
import { Event } from './event.ts';

export class CloseEvent extends Event {
  #wasClean: boolean;
  #code: number;
  #reason: string;
  constructor(type: string, init: unknown = undefined) {
    super(type, init);
    const options = toDictionary(init, 'The event init');
    this.#wasClean = !!options.wasClean;
    this.#code = options.code === undefined ? 0 : toUnsignedShort(options.code);
    this.#reason = options.reason === undefined ? '' : toUSVString(options.reason);
  }
  get wasClean(): boolean {
    return this.#wasClean;
  }
  get code(): number {
    return this.#code;
  }
  get reason(): string {
    return this.#reason;
  }
}

defineInterface(CloseEvent, 'CloseEvent');
