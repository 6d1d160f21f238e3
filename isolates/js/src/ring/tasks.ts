/**
 * Tasks of the platform's own: each runs in the turn after it was queued, in order, with the microtasks of the one
 * before done. Unlike timers they are never slowed down.
 */

import { runMicrotasks } from '../native.ts';
import { setMoreWork } from './output.ts';

let queue: (() => void)[] = [];

export function queueTask(task: () => void): void {
  queue[queue.length] = task;
  setMoreWork(true);
}

/** Runs what was queued before this turn. Called by the loop. */
export function runTasks(): void {
  if (queue.length === 0) return;
  const tasks = queue;
  queue = [];
  for (let i = 0; i < tasks.length; i++) {
    if (i > 0 && !runMicrotasks()) {
      // A poll has to run them: the rest is for the next turn.
      const later = queue;
      queue = [];
      for (; i < tasks.length; i++) queue[queue.length] = tasks[i];
      for (let j = 0; j < later.length; j++) queue[queue.length] = later[j];
      setMoreWork(true);
      return;
    }
    tasks[i]();
  }
}
