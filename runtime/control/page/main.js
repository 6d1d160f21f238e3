// The page: sign-in, the list of databases and tables, and which view is shown. Where one is, is in the address's
// fragment (database and table, nothing else), so that going back and reloading work.

import { Control, Refused, Sql } from './api.js';
import { byId, element, errorText, redraw, say } from './dom.js';
import { Editor } from './editor.js';
import { identifier } from './statements.js';
import { list, Rows, showSchema } from './tables.js';
import { size } from './values.js';

const KEPT = 'brrrd-operator-token';
const VIEWS = ['rows', 'schema', 'sql'];

let control = null;
let databases = [];
/** The database that is open: `{ view, sql, tables }`. */
let open = null;
let table = null;
let view = 'sql';

const rows = new Rows();
const editor = new Editor(
  () => (byId('writes').checked ? 'rw' : 'ro'),
  () => refresh(),
);

// Signing in and out

byId('sign-in-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const field = byId('token');
  const given = field.value.trim();
  byId('sign-in-error').textContent = '';
  try {
    await signIn(given);
    field.value = '';
    byId('filter').focus();
    sessionStorage.setItem(KEPT, given);
  } catch (error) {
    byId('sign-in-error').textContent =
      error.status === 401 || error instanceof TypeError ? "This is not the node's operator token." : error.message;
    field.select();
  }
});

byId('sign-out').addEventListener('click', () => signOut());

async function signIn(token) {
  const candidate = new Control(token);
  databases = await candidate.databases();
  control = candidate;
  byId('sign-in').hidden = true;
  byId('browser').hidden = false;
  await follow();
}

function signOut() {
  sessionStorage.removeItem(KEPT);
  // Everything that was read goes with the document.
  location.replace(location.pathname);
}

// Where one is

function place() {
  try {
    const parts = location.hash.slice(1).split('/').map(decodeURIComponent);
    return { database: parts[0] || null, table: parts[1] ?? null };
  } catch {
    return { database: null, table: null }; // an address that was not made here
  }
}

function go(database, name) {
  const target =
    '#' +
    [database, name]
      .filter((part) => part !== null)
      .map(encodeURIComponent)
      .join('/');
  if (location.hash === target) follow();
  else location.hash = target;
}

window.addEventListener('hashchange', () => {
  if (control !== null) follow();
});

/** Show what the fragment names. */
async function follow() {
  const wanted = place();
  const found = databases.find((one) => one.database_id === wanted.database) ?? null;
  if (found === null) {
    open = null;
    table = null;
  } else if (open?.view.database_id !== found.database_id) {
    await enter(found);
  }
  const before = table;
  table = open?.tables.find((one) => one.name === wanted.table) ?? null;
  draw();
  if (open === null) return;
  if (table === null) select('sql');
  else if (table !== before) select(view === 'sql' && before === null ? 'rows' : view);
}

/** Open a database: its tables are read with a read-only token. */
async function enter(found) {
  byId('writes').checked = false;
  rows.clear();
  const sql = new Sql(control, found.database_id);
  open = { view: found, sql, tables: [], error: null };
  editor.use(sql);
  await refresh();
}

/** Read tables and facts of the open database again. */
async function refresh() {
  const one = open;
  if (one === null) return;
  try {
    one.view = await control.database(one.view.database_id);
    one.tables = await list(one.sql);
    one.error = null;
  } catch (error) {
    if (expired(error)) return;
    one.error = error;
    one.tables = [];
  }
  if (one === open) {
    table = one.tables.find((found) => found.name === table?.name) ?? null;
    draw();
  }
}

function expired(error) {
  if (!(error instanceof Refused) || error.status !== 401) return false;
  signOut();
  return true;
}

byId('reload').addEventListener('click', async () => {
  try {
    databases = await control.databases();
  } catch (error) {
    if (!expired(error)) say(error.message);
    return;
  }
  await refresh();
  draw();
  if (table !== null && view !== 'sql') select(view);
});

// What is drawn

byId('filter').addEventListener('input', () => drawLists());

function draw() {
  drawLists();
  byId('nothing').hidden = open !== null;
  byId('nothing').textContent = databases.length
    ? 'Choose a database.'
    : 'There is no database yet. Create one with: brrrd databases create NAME';
  byId('database').hidden = open === null;
  document.title = open === null ? 'Databases · brrrd' : `${table?.name ?? open.view.name} · brrrd`;
  if (open === null) return;
  const { name, project, status, database_url: url, storage_bytes: bytes } = open.view;
  byId('database-name').replaceChildren(element('span', { className: 'hint' }, `${project} / `), name);
  const facts = [
    element('span', { className: `status ${status}` }, status),
    ` ${size(bytes ?? 0)} · `,
    element('code', {}, url),
  ];
  byId('facts').replaceChildren(...facts, ...(open.error ? [errorText(open.error)] : []));
  for (const one of ['rows', 'schema']) byId(`tab-${one}`).disabled = table === null;
}

function drawLists() {
  const wanted = byId('filter').value.trim().toLowerCase();
  const matches = (name) => name.toLowerCase().includes(wanted);
  const projects = Map.groupBy(databases, (one) => one.project);
  const parts = [];
  for (const [project, all] of projects) {
    const shown = all.filter((one) => matches(one.name) || one.database_id === open?.view.database_id);
    if (!shown.length) continue;
    parts.push(element('h2', {}, project), element('ul', {}, ...shown.map((one) => databaseItem(one, matches))));
  }
  redraw(byId('lists'), ...parts);
}

function databaseItem(one, matches) {
  const current = one.database_id === open?.view.database_id;
  const item = element('li', {}, entry(one, null, one.status === 'ready' ? '' : one.status));
  if (current) {
    const tables = open.tables.filter((found) => matches(found.name) || matches(one.name));
    const made = (found) => element('li', {}, entry(one, found, found.type === 'table' ? '' : found.type));
    item.append(element('ul', { 'aria-label': `Tables of ${one.name}` }, ...tables.map(made)));
  }
  return item;
}

/** The button of a database, or of one of its tables. */
function entry(database, found, note) {
  const key = `${database.database_id}/${found?.name ?? ''}`;
  const properties = { type: 'button', className: 'quiet entry', 'data-key': key };
  const button = element('button', properties, found?.name ?? database.name);
  if (note) button.append(' ', element('small', {}, note));
  if (database.database_id === open?.view.database_id && found === table) button.setAttribute('aria-current', 'true');
  button.addEventListener('click', () => go(database.database_id, found?.name ?? null));
  return button;
}

// Views

for (const one of VIEWS) byId(`tab-${one}`).addEventListener('click', () => select(one));

byId('tabs').addEventListener('keydown', (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  const usable = VIEWS.filter((one) => !byId(`tab-${one}`).disabled);
  const next = usable[(usable.indexOf(view) + step + usable.length) % usable.length];
  select(next);
  byId(`tab-${next}`).focus();
});

function select(wanted) {
  view = wanted;
  for (const one of VIEWS) {
    byId(`tab-${one}`).setAttribute('aria-selected', String(one === view));
    byId(`tab-${one}`).tabIndex = one === view ? 0 : -1;
    byId(`panel-${one}`).hidden = one !== view;
  }
  if (view === 'rows') rows.show(open.sql, table);
  else if (view === 'schema') showSchema(open.sql, table);
  else editor.suggest(table ? `SELECT * FROM ${identifier(table.name)} LIMIT 100;` : '');
}

byId('writes').addEventListener('change', (event) => {
  byId('database').classList.toggle('writes', event.target.checked);
  say(event.target.checked ? 'Statements may change the database.' : 'Statements may only read.');
});

// Start

const kept = sessionStorage.getItem(KEPT);
if (kept === null) {
  byId('sign-in').hidden = false;
  byId('token').focus();
} else {
  signIn(kept).catch((error) => {
    if (error.status === 401) sessionStorage.removeItem(KEPT);
    byId('sign-in').hidden = false;
    byId('sign-in-error').textContent = error.status === 401 ? '' : error.message;
  });
}
