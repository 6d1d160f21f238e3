/** How `inspect` writes text, lists and what it leaves out. Nothing here looks at a value. */

const MAX_STRING = 10_000;
const LINE_WIDTH = 72;
/** Above that, items that are short share lines. */
const FEW_ITEMS = 6;
const SHORT_ITEM = 16;
const LEFT_OUT = '... ';
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

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
  return `${LEFT_OUT}${count} more item${count > 1 ? 's' : ''}`;
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
  const rows =
    open === '[' && items.length > FEW_ITEMS && areShort(items) ? filled(items, LINE_WIDTH - depth * 2) : items;
  return `${open}\n${indent}${rows.join(`,\n${indent}`)}\n${'  '.repeat(depth)}${close}`;
}

function areShort(items: string[]): boolean {
  for (const item of items) if (item.length > SHORT_ITEM && !item.startsWith(LEFT_OUT)) return false;
  return true;
}

/** Short items of a long list, as many in a line as fit; what is left out comes last, in a line of its own. */
function filled(items: string[], width: number): string[] {
  const rows: string[] = [];
  let row = '';
  for (let i = 0; i < items.length; i++) {
    const alone = items[i].startsWith(LEFT_OUT);
    if (row !== '' && !alone && textWidth(row) + textWidth(items[i]) + 2 <= width) row += `, ${items[i]}`;
    else {
      if (row !== '') rows.push(row);
      row = items[i];
    }
  }
  rows.push(row);
  return rows;
}

/** How many columns of a terminal a text takes: two for what East Asian scripts write, and for emoji. */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    width += code >= 0x1100 && WIDE.test(character) ? 2 : 1;
  }
  return width;
}
