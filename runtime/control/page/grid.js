// A table of SQL values, and the dialog that shows one of them whole.

import { byId, element, say } from './dom.js';
import { full, short, whole } from './values.js';

const dialog = byId('value');
let shown = null;

byId('value-copy').addEventListener('click', async () => {
  await navigator.clipboard.writeText(whole(shown));
  say('Copied.');
});

function open(column, value) {
  shown = value;
  byId('value-title').textContent = column;
  byId('value-text').textContent = full(value);
  dialog.showModal();
}

function cell(column, value) {
  const { text, cut } = short(value);
  if (!cut && value.type !== 'blob') return element('td', { className: value.type }, text);
  const button = element('button', { type: 'button', className: 'quiet', title: 'Show all of it' }, text);
  button.addEventListener('click', () => open(column, value));
  return element('td', { className: value.type }, button);
}

/**
 * The table of a result. With `onSort(column)` its headings are buttons, and `sorted` (`{ column, descending }`) says
 * which one orders it.
 */
export function grid(caption, { columns, rows }, { onSort = null, sorted = null } = {}) {
  const names = columns.map((column) => column.name ?? '');
  const heading = (name, index) => {
    const type = columns[index].decltype;
    // Over numbers, which are on the right.
    const className = ['integer', 'float'].includes(rows[0]?.[index].type) ? 'number' : '';
    const note = type ? element('small', {}, type.toLowerCase()) : null;
    if (onSort === null) return element('th', { scope: 'col', className }, name, note);
    const properties = { type: 'button', className: 'quiet', title: `Sort by ${name}`, 'data-key': `sort ${name}` };
    const button = element('button', properties, name);
    button.addEventListener('click', () => onSort(name));
    const made = element('th', { scope: 'col', className }, button, note);
    if (sorted?.column === name) made.setAttribute('aria-sort', sorted.descending ? 'descending' : 'ascending');
    return made;
  };
  const head = element('thead', {}, element('tr', {}, ...names.map(heading)));
  const line = (row) => element('tr', {}, ...row.map((value, index) => cell(names[index], value)));
  const table = element(
    'table',
    {},
    element('caption', { className: 'visually-hidden' }, caption),
    head,
    element('tbody', {}, ...rows.map(line)),
  );
  return element('div', { className: 'scroll', tabIndex: 0, role: 'region', 'aria-label': caption }, table);
}
