// SQL text as statements, by the rules of sqlite3_complete (https://sqlite.org/c3ref/complete.html): a semicolon outside
// strings and comments ends one, and within CREATE TRIGGER only the one after END.

const TOKEN =
  /'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|`[^`]*(?:`|$)|\[[^\]]*(?:\]|$)|--[^\n]*|\/\*[^]*?(?:\*\/|$)|;|[\w$\u0080-\uffff]+|\s+|[^]/gu;
const TRIGGER_HEAD = ['EXPLAIN', 'CREATE', 'TEMP', 'TEMPORARY', 'TRIGGER'];

/** The statements of a text, without their semicolons; blanks and comments alone are none. */
export function split(text) {
  const found = [];
  let start = null;
  let end = 0;
  let head = [];
  let inHead = true;
  let trigger = '';
  const close = () => {
    if (start !== null) found.push(text.slice(start, end).trimEnd());
    start = null;
    head = [];
    inHead = true;
    trigger = '';
  };
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (/^(\s|--|\/\*)/.test(token)) continue;
    if (token === ';' && (!trigger || trigger === 'end' || start === null)) {
      close();
      continue;
    }
    if (start === null) start = index;
    end = index + token.length;
    const word = token.toUpperCase();
    if (trigger) {
      if (token === ';') trigger = 'semicolon';
      else trigger = trigger === 'semicolon' && word === 'END' ? 'end' : 'body';
    } else if (inHead) {
      if (word === 'TRIGGER' && head.includes('CREATE')) trigger = 'body';
      else if (!TRIGGER_HEAD.includes(word)) inHead = false;
      head.push(word);
    }
  }
  close();
  return found;
}

/** A name as SQL identifier. */
export function identifier(name) {
  return `"${name.replaceAll('"', '""')}"`;
}
