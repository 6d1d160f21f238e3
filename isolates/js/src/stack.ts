/**
 * Stacks as logs show them: an app's owner reads what the app did, not how the platform called it. Frames of the
 * platform are left out, except for the name of what the app called, or was called by, next to each of its own frames.
 */

/** Where the platform's script comes from: a start-up snapshot, or else the host. Its modules have names. */
const PLACES = ['<embedded>', 'brrrd:host', 'internal:', 'node:'];
const FRAME = '\n    at ';
/** Longer ones are none of the engine's. */
const MAX_UNITS = 64 << 10;

/** A stack in the engine's format with fewer frames; as it is if it has none of the app's. */
export function trimStack(stack: string): string {
  const start = stack.indexOf(FRAME);
  if (start < 0 || stack.length > MAX_UNITS || !stack.includes('file:///', start)) return stack;
  const frames = stack.slice(start + FRAME.length).split(FRAME);
  let text = stack.slice(0, start);
  for (let i = 0; i < frames.length; i++) {
    const end = frames[i].indexOf('\n');
    const frame = end < 0 ? frames[i] : frames[i].slice(0, end);
    if (!isPlatform(frame)) text += FRAME + frame;
    else if (i + 1 < frames.length && !isPlatform(frames[i + 1])) {
      const name = nameIn(frame);
      if (name !== '') text += `${FRAME}${name} (brrrd)`;
    }
    // What the app added below.
    if (end >= 0) text += frames[i].slice(end);
  }
  return text;
}

/** Where a frame of the app's is: a path in its package. */
export interface Place {
  file: string;
  line: number;
  column: number;
}

/** The place of the first frame in the package; null without one, or for what is no stack. */
export function firstPlace(stack: unknown): Place | null {
  const frame = typeof stack === 'string' ? /file:\/\/\/([^\s)]+?):(\d+):(\d+)/.exec(stack) : null;
  return frame === null ? null : { file: frame[1], line: Number(frame[2]), column: Number(frame[3]) };
}

/** Whether a frame, `name (place:1:2)` or `place:1:2`, is one of the platform. */
function isPlatform(frame: string): boolean {
  const place = frame.slice(frame.lastIndexOf('(') + 1);
  for (let i = 0; i < PLACES.length; i++) if (place.startsWith(PLACES[i])) return true;
  return false;
}

function nameIn(frame: string): string {
  const end = frame.lastIndexOf(' (');
  return end < 0 || frame.startsWith('async ') ? '' : frame.slice(0, end);
}
