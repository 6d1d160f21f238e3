/** The performance timeline (Performance Timeline standard): entries in the order they were made, and who hears of them. */

import type { PerformanceEntry } from './entries.ts';

/** Entries kept; the oldest go first. An isolate lives long, and apps mark without ever clearing. */
const MAX_ENTRIES = 10_000;

let entries: PerformanceEntry[] = [];
let onEntry: (entry: PerformanceEntry) => void = () => {};

/** `listener` hears of every entry. */
export function onTimelineEntry(listener: (entry: PerformanceEntry) => void): void {
  onEntry = listener;
}

export function addEntry(entry: PerformanceEntry): void {
  if (entries.length >= MAX_ENTRIES) entries = entries.slice(MAX_ENTRIES / 10);
  entries.push(entry);
  onEntry(entry);
}

/** Forgets the entries of a type, or those with a name. */
export function clearEntries(type: string, name: string | undefined): void {
  entries = entries.filter((entry) => entry.entryType !== type || (name !== undefined && entry.name !== name));
}

/** The entries of `list` with that name and type where given, by start time. */
export function filterEntries(list: PerformanceEntry[], name?: string, type?: string): PerformanceEntry[] {
  return list
    .filter((entry) => (name === undefined || entry.name === name) && (type === undefined || entry.entryType === type))
    .sort((a, b) => a.startTime - b.startTime);
}

export function findEntries(name?: string, type?: string): PerformanceEntry[] {
  return filterEntries(entries, name, type);
}

/** The start of the latest mark with a name; null when there is none. */
export function markTime(name: string): number | null {
  for (let i = entries.length - 1; i >= 0; i--) {
    if (entries[i].entryType === 'mark' && entries[i].name === name) return entries[i].startTime;
  }
  return null;
}
