/** performance: the clock (High Resolution Time), and marks and measures (User Timing). */

import { monotonicNow, timeOrigin } from '../clock.ts';
import { DOMException } from '../dom_exception.ts';
import { EventTarget } from '../events/event_target.ts';
import { defineInterface, INTERNAL, isObject, requireArguments, toDOMString } from '../webidl.ts';
import { cloneDetail, type PerformanceEntry, PerformanceMark, PerformanceMeasure, toTimestamp } from './entries.ts';
import { addEntry, clearEntries, findEntries, markTime } from './timeline.ts';

interface MeasureOptions {
  start?: unknown;
  end?: unknown;
  duration?: unknown;
  detail?: unknown;
}

export class Performance extends EventTarget {
  #brand = true;

  constructor(token: unknown = undefined) {
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

  mark(markName: string, markOptions: unknown = undefined): PerformanceMark {
    void this.#brand;
    requireArguments(arguments.length, 1, 'Performance.mark');
    const entry = new PerformanceMark(markName, markOptions);
    addEntry(entry);
    return entry;
  }

  measure(
    measureName: string,
    startOrMeasureOptions: unknown = undefined,
    endMark: unknown = undefined,
  ): PerformanceMeasure {
    void this.#brand;
    requireArguments(arguments.length, 1, 'Performance.measure');
    const name = toDOMString(measureName);
    const span = isObject(startOrMeasureOptions)
      ? spanOfOptions(startOrMeasureOptions as MeasureOptions, endMark)
      : spanOfMarks(startOrMeasureOptions, endMark);
    const entry = new PerformanceMeasure(INTERNAL, name, span.start, span.end, span.detail);
    addEntry(entry);
    return entry;
  }

  clearMarks(markName: unknown = undefined): void {
    void this.#brand;
    clearEntries('mark', markName === undefined ? undefined : toDOMString(markName));
  }

  clearMeasures(measureName: unknown = undefined): void {
    void this.#brand;
    clearEntries('measure', measureName === undefined ? undefined : toDOMString(measureName));
  }

  getEntries(): PerformanceEntry[] {
    void this.#brand;
    return findEntries();
  }

  getEntriesByType(type: string): PerformanceEntry[] {
    void this.#brand;
    requireArguments(arguments.length, 1, 'Performance.getEntriesByType');
    return findEntries(undefined, toDOMString(type));
  }

  getEntriesByName(name: string, type: unknown = undefined): PerformanceEntry[] {
    void this.#brand;
    requireArguments(arguments.length, 1, 'Performance.getEntriesByName');
    return findEntries(toDOMString(name), type === undefined ? undefined : toDOMString(type));
  }
}

interface Span {
  start: number;
  end: number;
  detail: unknown;
}

function spanOfMarks(startMark: unknown, endMark: unknown): Span {
  const end = endMark === undefined || endMark === null ? monotonicNow() : timeOf(toDOMString(endMark));
  const start = startMark === undefined || startMark === null ? 0 : timeOf(toDOMString(startMark));
  return { start, end, detail: null };
}

/** User Timing §3.1.3, with a dictionary: two of start, end and duration, or fewer. */
function spanOfOptions(options: MeasureOptions, endMark: unknown): Span {
  const { detail, duration, end, start } = options;
  const given = duration !== undefined || end !== undefined || start !== undefined || detail !== undefined;
  if (given) {
    if (endMark !== undefined) throw new TypeError('The end mark is given beside options');
    if (start === undefined && end === undefined) throw new TypeError('The options name neither start nor end');
    if (start !== undefined && end !== undefined && duration !== undefined) {
      throw new TypeError('The options name all of start, end and duration');
    }
  }
  const length = duration === undefined ? undefined : toTimestamp(duration);
  const from = start === undefined ? undefined : pointInTime(start);
  const to = end === undefined ? undefined : pointInTime(end);
  const last =
    endMark !== undefined && endMark !== null
      ? timeOf(toDOMString(endMark))
      : (to ?? (from !== undefined && length !== undefined ? from + length : monotonicNow()));
  const first = from ?? (to !== undefined && length !== undefined ? to - length : 0);
  return { start: first, end: last, detail: cloneDetail(detail) };
}

/** A timestamp, or the time of a mark. */
function pointInTime(value: unknown): number {
  if (typeof value !== 'number') return timeOf(toDOMString(value));
  const time = toTimestamp(value);
  if (time < 0) throw new TypeError('A timestamp is negative');
  return time;
}

function timeOf(mark: string): number {
  const time = markTime(mark);
  if (time === null) throw new DOMException(`There is no mark named ${mark}`, 'SyntaxError');
  return time;
}

defineInterface(Performance, 'Performance');

export const performance = new Performance(INTERNAL);
