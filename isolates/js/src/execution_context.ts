/** What the code that a handler began may be waited for by. */
interface Waiting {
  waitUntil(promise: unknown): void;
}

/** The third argument of a handler. */
export class ExecutionContext {
  #waiting: Waiting;
  constructor(waiting: Waiting) {
    this.#waiting = waiting;
  }
  waitUntil(promise: unknown): void {
    this.#waiting.waitUntil(promise);
  }
  passThroughOnException(): void {}
  get props(): object {
    return {};
  }
}
