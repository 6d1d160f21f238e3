/** navigator, performance: the few members that a server has. */

import { monotonicNow, timeOrigin } from './clock.ts';
import { EventTarget } from './events/event_target.ts';
import { defineInterface, INTERNAL } from './webidl.ts';

let agent = 'brrrd';

/** Called at boot. */
export function configureNavigator(version: string): string {
  agent = version === '' ? 'brrrd' : `brrrd/${version}`;
  return agent;
}

export class Navigator {
  #brand = true;

  constructor(token?: unknown) {
    if (token !== INTERNAL) throw new TypeError('Illegal constructor');
  }

  get userAgent(): string {
    void this.#brand;
    return agent;
  }

  get hardwareConcurrency(): number {
    void this.#brand;
    return 1;
  }

  get language(): string {
    void this.#brand;
    return 'en-US';
  }

  get platform(): string {
    void this.#brand;
    return '';
  }
}

export class Performance extends EventTarget {
  #brand = true;

  constructor(token?: unknown) {
    if (token !== INTERNAL) throw new TypeError('Illegal constructor');
    super();
  }

  now(): number {
    void this.#brand;
    return monotonicNow();
  }

  get timeOrigin(): number {
    void this.#brand;
    return timeOrigin();
  }

  toJSON(): { timeOrigin: number } {
    void this.#brand;
    return { timeOrigin: timeOrigin() };
  }
}

defineInterface(Navigator, 'Navigator');
defineInterface(Performance, 'Performance');

export const navigator = new Navigator(INTERNAL);
export const performance = new Performance(INTERNAL);
