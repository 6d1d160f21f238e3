/** navigator: the few members that a server has. */

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

defineInterface(Navigator, 'Navigator');

export const navigator = new Navigator(INTERNAL);
