// SQL values as text, exactly: integers of 64 bits arrive as decimal strings and stay that.

const SHOWN_CHARACTERS = 120;
const SHOWN_BYTES = 24;

/** The bytes of a blob as it arrives: base64 with or without padding. */
function bytesOf(value) {
  return Uint8Array.from(atob(value.base64), (character) => character.charCodeAt(0));
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A double as SQLite writes it: never to be mistaken for an integer. */
function float(number) {
  if (!Number.isFinite(number)) return number > 0 ? 'Inf' : '-Inf';
  const text = Object.is(number, -0) ? '-0' : String(number);
  return /^-?\d+$/.test(text) ? text + '.0' : text;
}

/** The whole value as text; a blob as a SQL literal. */
export function whole(value) {
  switch (value.type) {
    case 'null':
      return 'NULL';
    case 'integer':
      return value.value;
    case 'float':
      return float(value.value);
    case 'text':
      return value.value;
    default:
      return `x'${hex(bytesOf(value))}'`;
  }
}

/** What a cell shows: `{ text, cut }`, with `cut` when that is not all. */
export function short(value) {
  if (value.type === 'blob') {
    const size = Math.floor((value.base64.replace(/=+$/, '').length * 3) / 4);
    const cut = size > SHOWN_BYTES;
    // Four characters of base64 are three bytes: a large blob is not decoded for its first few.
    const head = cut ? { base64: value.base64.slice(0, (SHOWN_BYTES / 3) * 4) } : value;
    return { text: `x'${hex(bytesOf(head))}${cut ? '…' : ''}' · ${count(size, 'byte')}`, cut };
  }
  const text = whole(value);
  const characters = text.length > SHOWN_CHARACTERS ? Array.from(text.slice(0, SHOWN_CHARACTERS * 2)) : [];
  const cut = characters.length > SHOWN_CHARACTERS;
  return { text: cut ? characters.slice(0, SHOWN_CHARACTERS).join('') + '…' : text, cut };
}

/** What the dialog shows of a value: a blob with offsets and characters beside its bytes. */
export function full(value) {
  if (value.type !== 'blob') return whole(value);
  const bytes = bytesOf(value);
  const lines = [];
  for (let offset = 0; offset < bytes.length; offset += 16) {
    const line = bytes.subarray(offset, offset + 16);
    const characters = Array.from(line, (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.'));
    const numbers = Array.from(line, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
    lines.push(`${offset.toString(16).padStart(8, '0')}  ${numbers.padEnd(47)}  ${characters.join('')}`);
  }
  return lines.join('\n');
}

/** A number with its noun: `1 row`, `1,000 rows`. */
export function count(number, noun) {
  return `${number.toLocaleString('en-US')} ${noun}${number === 1 ? '' : 's'}`;
}

/** A size in bytes for people. */
export function size(bytes) {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let number = bytes;
  while (number >= 1000 && unit < units.length - 1) {
    number /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? number : number.toFixed(1)} ${units[unit]}`;
}
