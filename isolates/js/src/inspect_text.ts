/** How `inspect` writes text, lists and what it leaves out. Nothing here looks at a value. */

const MAX_STRING = 10_000;
const LINE_WIDTH = 72;

/** A string literal. */
export function quote(text: string): string {
  const shown = text.length > MAX_STRING ? text.slice(0, MAX_STRING) : text;
  const mark = !shown.includes("'") ? "'" : !shown.includes('"') ? '"' : !shown.includes('`') ? '`' : "'";
  let out = mark;
  for (const character of shown) {
    if (character === mark || character === '\\') out += `\\${character}`;
    else if (character === '\n') out += '\\n';
    else if (character === '\r') out += '\\r';
    else if (character === '\t') out += '\\t';
    else if (character < ' ' || character === '\x7f') {
      out += `\\x${character.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`;
    } else out += character;
  }
  const rest = text.length - shown.length;
  return rest > 0 ? `${out}${mark}... ${rest} more characters` : out + mark;
}

/** Holes of an array. */
export function emptyItems(count: number): string {
  return `<${count} empty item${count > 1 ? 's' : ''}>`;
}

/** What is over the bound. */
export function moreItems(count: number): string {
  return `... ${count} more item${count > 1 ? 's' : ''}`;
}

/** `items` in brackets, in one line if they fit. */
export function wrap(items: string[], [open, close]: [string, string], depth: number): string {
  if (items.length === 0) return open + close;
  let width = items.length;
  let lines = false;
  for (const item of items) {
    width += item.length + 1;
    lines ||= item.includes('\n');
  }
  if (!lines && width + depth * 2 <= LINE_WIDTH) return `${open} ${items.join(', ')} ${close}`;
  const indent = '  '.repeat(depth + 1);
  return `${open}\n${indent}${items.join(`,\n${indent}`)}\n${'  '.repeat(depth)}${close}`;
}
