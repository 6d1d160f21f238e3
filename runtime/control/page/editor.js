// The SQL editor: runs what was typed, shows a result for every statement.

import { byId, element, errorText, say } from './dom.js';
import { grid } from './grid.js';
import { split } from './statements.js';
import { timing } from './tables.js';
import { count } from './values.js';

const HISTORY = 100;

/** The form and what it last gave. `onChange` is called after statements that may have changed the tables. */
export class Editor {
  #text = byId('sql');
  #results = byId('results');
  #run = byId('run');
  #cancel = byId('cancel');
  #running = null;
  #history = [];
  #at = 0;
  #sql = null;
  #access = () => 'ro';
  #onChange;

  constructor(access, onChange) {
    this.#access = access;
    this.#onChange = onChange;
    byId('sql-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.run();
    });
    this.#cancel.addEventListener('click', () => this.#running?.abort());
    this.#text.addEventListener('keydown', (event) => this.#key(event));
  }

  /** Work with another database from now on. */
  use(sql) {
    this.#running?.abort();
    this.#sql = sql;
    this.#results.replaceChildren();
  }

  /** Put a statement into the form unless somebody is writing one there. */
  suggest(text) {
    if (!this.#text.value.trim() || this.#text.value === this.#text.dataset.suggested) {
      this.#text.value = text;
      this.#text.dataset.suggested = text;
    }
  }

  focus() {
    this.#text.focus();
  }

  #key(event) {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.run();
    } else if (event.key === 'Escape') {
      this.#running?.abort();
    } else if (event.altKey && (event.key === 'ArrowUp' || event.key === 'ArrowDown')) {
      event.preventDefault();
      this.#at = Math.min(this.#history.length, Math.max(0, this.#at + (event.key === 'ArrowUp' ? -1 : 1)));
      this.#text.value = this.#history[this.#at] ?? '';
    }
  }

  #selected() {
    const { value, selectionStart, selectionEnd } = this.#text;
    return value.slice(selectionStart, selectionEnd).trim() ? value.slice(selectionStart, selectionEnd) : value;
  }

  /** Run everything, or what is selected. */
  async run() {
    if (this.#running || this.#sql === null) return;
    const statements = split(this.#selected()).map((sql) => ({ sql }));
    if (!statements.length) return;
    this.#remember(this.#text.value);
    const running = (this.#running = new AbortController());
    const access = this.#access();
    const sql = this.#sql;
    this.#busy(true);
    const started = performance.now();
    try {
      const results = await sql.run(statements, { access, signal: running.signal });
      if (sql !== this.#sql) return;
      this.#show(results, statements.length, performance.now() - started, access);
    } catch (error) {
      if (sql !== this.#sql) return;
      const cancelled = running.signal.aborted;
      this.#results.replaceChildren(
        cancelled
          ? element('p', { className: 'hint' }, 'Cancelled. What had not been committed is rolled back.')
          : errorText(error),
      );
    } finally {
      this.#running = null;
      this.#busy(false);
      if (access === 'rw' && sql === this.#sql) this.#onChange();
    }
  }

  #busy(busy) {
    this.#run.disabled = busy;
    this.#cancel.disabled = !busy;
    this.#results.toggleAttribute('aria-busy', busy);
  }

  #remember(text) {
    if (this.#history.at(-1) !== text) this.#history.push(text);
    if (this.#history.length > HISTORY) this.#history.shift();
    this.#at = this.#history.length;
  }

  #show(results, asked, milliseconds, access) {
    const many = asked > 1;
    const parts = results.flatMap((result, index) => part(result, index, many, access));
    const done = results.filter((result) => result.sql && !result.error).length;
    const total = `${count(done, 'statement')}${done < asked ? ` of ${asked}` : ''} in ${milliseconds.toFixed(0)} ms`;
    this.#results.replaceChildren(element('p', { className: 'hint', id: 'took' }, total), ...parts);
    const failed = results.find((result) => result.error);
    say(failed ? failed.error.message : total);
  }
}

function part(result, index, many, access) {
  if (!result.sql) {
    return [
      element(
        'p',
        { className: 'warning' },
        'The transaction was left open and has been rolled back: end it with COMMIT.',
      ),
    ];
  }
  const title = many
    ? [element('h2', { className: 'statement' }, result.sql.replaceAll(/\s+/g, ' ').slice(0, 200))]
    : [];
  if (result.error) {
    const text = errorText(result.error);
    if (result.error.code) text.append(' ', element('code', {}, result.error.code));
    if (access === 'ro' && /READONLY|BLOCKED/.test(result.error.code)) {
      text.append(element('br'), 'Switch “Allow writes” on to change the database.');
    }
    return [...title, text];
  }
  if (!result.columns.length) {
    return [...title, element('p', {}, `Done. ${count(result.changed ?? 0, 'row')} changed. `, note(result))];
  }
  const cut = result.cut
    ? access === 'ro'
      ? `The first ${count(result.rows.length, 'row')}; there are more.`
      : `The first ${result.rows.length.toLocaleString('en-US')} of ${count(result.count, 'row')}.`
    : `${count(result.count, 'row')}.`;
  return [...title, grid(`Result ${index + 1}`, result), element('p', {}, `${cut} `, note(result))];
}

function note(result) {
  return element('span', { className: 'hint' }, timing(result));
}
