/** PerformanceEntry and the entries of User Timing: PerformanceMark and PerformanceMeasure. */

import { monotonicNow } from '../clock.ts';
import { structuredClone } from '../clone/structured_clone.ts';
import { defineInterface, INTERNAL, requireArguments, toDictionary, toDOMString } from '../webidl.ts';

interface Facts {
  name: string;
  entryType: string;
  startTime: number;
  duration: number;
}

let factsOf: (entry: PerformanceEntry) => Facts;

export class PerformanceEntry {
  #facts: Facts;

  constructor(token: unknown = undefined, facts: Facts | undefined = undefined) {
    if (token !== INTERNAL) throw new TypeError('Illegal constructor');
    this.#facts = facts!;
  }

  static {
    factsOf = (entry) => entry.#facts;
  }

  get name(): string {
    return this.#facts.name;
  }

  get entryType(): string {
    return this.#facts.entryType;
  }

  get startTime(): number {
    return this.#facts.startTime;
  }

  get duration(): number {
    return this.#facts.duration;
  }

  toJSON(): object {
    return { ...factsOf(this) };
  }
}

/** A DOMHighResTimeStamp. @throws TypeError unless it is a finite number. */
export function toTimestamp(value: unknown): number {
  const number = Number(value);
  if (!Number.isFinite(number)) throw new TypeError('A timestamp is not a finite number');
  return number;
}

/** As structured clone, in which no detail is null. */
export function cloneDetail(detail: unknown): unknown {
  return detail === undefined || detail === null ? null : structuredClone(detail);
}

export class PerformanceMark extends PerformanceEntry {
  #detail: unknown;

  constructor(markName: string, markOptions: unknown = undefined) {
    requireArguments(arguments.length, 1, "Failed to construct 'PerformanceMark'");
    const name = toDOMString(markName);
    const { detail, startTime } = toDictionary(markOptions, 'The mark options');
    const start = startTime === undefined ? monotonicNow() : toTimestamp(startTime);
    if (start < 0) throw new TypeError('The startTime is negative');
    super(INTERNAL, { name, entryType: 'mark', startTime: start, duration: 0 });
    this.#detail = cloneDetail(detail);
  }

  get detail(): unknown {
    return this.#detail;
  }

  override toJSON(): object {
    return { ...super.toJSON(), detail: this.#detail };
  }
}

export class PerformanceMeasure extends PerformanceEntry {
  #detail: unknown;

  constructor(
    token: unknown = undefined,
    name: string = '',
    startTime: number = 0,
    endTime: number = 0,
    detail: unknown = null,
  ) {
    super(token, { name, entryType: 'measure', startTime, duration: endTime - startTime });
    this.#detail = detail;
  }

  get detail(): unknown {
    return this.#detail;
  }

  override toJSON(): object {
    return { ...super.toJSON(), detail: this.#detail };
  }
}

defineInterface(PerformanceEntry, 'PerformanceEntry');
defineInterface(PerformanceMark, 'PerformanceMark');
defineInterface(PerformanceMeasure, 'PerformanceMeasure');
