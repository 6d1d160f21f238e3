/** `cloudflare:workers`, as far as frameworks' outputs import it: the bindings of the app outside of a request. */

import values from 'internal:platform';

/** What the handler gets as its second argument. */
export const env = values.environment;

/** Keeps work going after the response of the request that the running code belongs to. */
export const waitUntil = values.waitUntil;

/** Base of entry classes, of which each request gets an instance. */
export class WorkerEntrypoint {
  protected ctx: unknown;
  protected env: unknown;

  constructor(ctx: unknown, env: unknown) {
    this.ctx = ctx;
    this.env = env;
  }
}
