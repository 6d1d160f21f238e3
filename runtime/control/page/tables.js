// The rows and the schema of one table or view.

import { byId, element, errorText, redraw, say } from './dom.js';
import { grid } from './grid.js';
import { identifier } from './statements.js';
import { count, whole } from './values.js';

const PAGE_ROWS = 100;
const LIST = `
  SELECT l.name, l.type, l.wr, s.sql
  FROM pragma_table_list AS l JOIN sqlite_schema AS s ON s.name = l.name AND s.type IN ('table', 'view')
  WHERE l.schema = 'main' AND l.type <> 'shadow' AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
  ORDER BY l.name COLLATE NOCASE`;

/** Tables and views of a database: `{ name, type, withoutRowid, sql }`. */
export async function list(sql) {
  const { rows } = await sql.rows(LIST);
  return rows.map((row) => {
    const [name, type, withoutRowid, text] = row.map(whole);
    return { name, type, withoutRowid: withoutRowid === '1', sql: text };
  });
}

/** Shows the pages of one table after the other. */
export class Rows {
  #panel = byId('panel-rows');
  #aborting = new AbortController();
  #sql = null;
  #table = null;
  #from = 0;
  #sorted = null;
  #total = null;

  /** Show a table from its first row. */
  show(sql, table) {
    this.#sql = sql;
    this.#table = table;
    this.#from = 0;
    this.#sorted = null;
    this.#total = null;
    return this.#load();
  }

  /** Drop what is shown and what is under way. */
  clear() {
    this.#aborting.abort();
    this.#panel.replaceChildren();
  }

  /** The query of the page that is shown. */
  query() {
    const order = this.#sorted
      ? ` ORDER BY ${identifier(this.#sorted.column)}${this.#sorted.descending ? ' DESC' : ''}`
      : this.#table.type === 'table' && !this.#table.withoutRowid
        ? ' ORDER BY rowid'
        : '';
    return `SELECT * FROM ${identifier(this.#table.name)}${order}`;
  }

  async #load() {
    this.#aborting.abort();
    const { signal } = (this.#aborting = new AbortController());
    this.#panel.setAttribute('aria-busy', 'true');
    try {
      const sql = `${this.query()} LIMIT ${PAGE_ROWS + 1} OFFSET ${this.#from}`;
      const result = await this.#sql.rows(sql, [], { signal });
      if (signal.aborted) return;
      // Fewer than a page if they are large.
      const more = result.cut || result.rows.length > PAGE_ROWS;
      result.rows.length = Math.min(result.rows.length, PAGE_ROWS);
      if (!more) this.#total = this.#from + result.rows.length;
      this.#draw(result, more);
    } catch (error) {
      if (!signal.aborted) this.#panel.replaceChildren(errorText(error));
    } finally {
      if (!signal.aborted) this.#panel.removeAttribute('aria-busy');
    }
  }

  #draw(result, more) {
    const last = this.#from + result.rows.length;
    const first = (this.#from + 1).toLocaleString('en-US');
    const where = result.rows.length ? `Rows ${first} to ${last.toLocaleString('en-US')}` : 'No rows';
    const place = element('span', { className: 'place' }, where + this.#of());
    const button = (text, enabled, onclick) => {
      const made = element('button', { type: 'button', disabled: !enabled, 'data-key': text }, text);
      made.addEventListener('click', onclick);
      return made;
    };
    const counting = button('Count', true, async () => {
      counting.disabled = true;
      try {
        const { rows } = await this.#sql.rows(`SELECT count(*) FROM ${identifier(this.#table.name)}`);
        this.#total = Number(whole(rows[0][0]));
        place.textContent = where + this.#of();
        counting.remove();
        say(place.textContent);
      } catch (error) {
        counting.replaceWith(errorText(error));
      }
    });
    const bar = element(
      'div',
      { className: 'bar' },
      element(
        'span',
        {},
        button('Previous', this.#from > 0, () => this.#move(-PAGE_ROWS)),
        button('Next', more, () => this.#move(result.rows.length)),
        place,
        this.#total === null ? counting : null,
      ),
      element('span', { className: 'hint' }, timing(result)),
    );
    const onSort = (column) => this.#sort(column);
    const table = grid(`Rows of ${this.#table.name}`, result, { onSort, sorted: this.#sorted });
    redraw(this.#panel, bar, table);
    say(`${this.#table.name}: ${place.textContent}`);
  }

  #of() {
    return this.#total === null || this.#total === 0 ? '' : ` of ${this.#total.toLocaleString('en-US')}`;
  }

  #move(by) {
    this.#from = Math.max(0, this.#from + by);
    return this.#load();
  }

  #sort(column) {
    const descending = this.#sorted?.column === column && !this.#sorted.descending;
    this.#sorted = { column, descending };
    this.#from = 0;
    return this.#load();
  }
}

/** Show columns, indexes, triggers and foreign keys of a table. */
export async function showSchema(sql, table) {
  const panel = byId('panel-schema');
  try {
    const name = { type: 'text', value: table.name };
    const results = await sql.run([
      {
        sql: `SELECT name AS "column", type, iif("notnull", 'not null', '') AS "null", coalesce(dflt_value, '') AS "default",
          iif(pk, 'primary key ' || pk, '') AS "key", iif(hidden > 1, 'generated', '') AS "generated"
          FROM pragma_table_xinfo(?) ORDER BY cid`,
        args: [name],
      },
      {
        sql: `SELECT "from" AS "column", "table" || coalesce('(' || "to" || ')', '') AS "refers to",
          on_update AS "on update", on_delete AS "on delete" FROM pragma_foreign_key_list(?) ORDER BY id, seq`,
        args: [name],
      },
      { sql: 'SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY rowid', args: [name] },
    ]);
    const failed = results.find((result) => result.error);
    if (failed) throw failed.error;
    const [columns, keys, texts] = results;
    panel.replaceChildren(
      grid(`Columns of ${table.name}`, columns),
      ...(keys.rows.length ? [element('h2', {}, 'Foreign keys'), grid('Foreign keys', keys)] : []),
      element('h2', {}, 'As created'),
      ...texts.rows.map((row) => element('pre', { tabIndex: 0 }, `${whole(row[0])};`)),
    );
  } catch (error) {
    panel.replaceChildren(errorText(error));
  }
}

/** How long a statement took and what it touched. */
export function timing(result) {
  const parts = [];
  if (typeof result.milliseconds === 'number') parts.push(`${result.milliseconds.toFixed(1)} ms in the database`);
  if (result.read) parts.push(`${count(result.read, 'row')} read`);
  if (result.written) parts.push(`${count(result.written, 'row')} written`);
  return parts.join(' · ');
}
