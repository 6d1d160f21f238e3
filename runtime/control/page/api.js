// The two things this page talks to, both on the node that served it: the control API, with the operator token, and SQL
// with a query token that lives for minutes and is renewed before it ends. Tokens go in headers, never in addresses.

const TTL_SECONDS = 300;
const RENEW_SECONDS = 60;
/** Rows of one statement that are kept for showing, unless their JSON is longer than this together. */
const MOST_ROWS = 1000;
const MOST_CHARACTERS = 16 << 20;

/** A refusal; `status` is that of the answer, 0 if there was none. */
export class Refused extends Error {
  constructor(status, message, code = '') {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function send(path, options) {
  try {
    return await fetch(new URL(path, document.baseURI), { cache: 'no-store', credentials: 'omit', ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refused(0, 'The node does not answer. Is it running?');
  }
}

async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  const message =
    problem.detail ?? problem.message ?? problem.error ?? `The node answered with status ${response.status}.`;
  return new Refused(response.status, message, problem.code);
}

/** The control API. */
export class Control {
  #token;

  constructor(token) {
    this.#token = token;
  }

  async call(method, path, body) {
    const response = await send(`../v1/${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    if (!response.ok) throw await refusal(response);
    return response.json();
  }

  /** Every database of every project. */
  async databases() {
    const { projects } = await this.call('GET', 'projects');
    const lists = await Promise.all(
      projects.map(({ project_id: id }) => this.call('GET', `projects/${encodeURIComponent(id)}/databases`)),
    );
    return lists.flatMap(({ databases }) => databases);
  }

  async database(id) {
    return (await this.call('GET', `databases/${encodeURIComponent(id)}`)).database;
  }
}

/** SQL on one database. */
export class Sql {
  #control;
  #id;
  #tokens = new Map();

  constructor(control, id) {
    this.#control = control;
    this.#id = id;
  }

  /** A token for `ro` or `rw`, another one than before with `renew`; calls at the same time share one. */
  #token(access, renew) {
    const held = this.#tokens.get(access);
    if (held && !renew && Date.now() < held.renewAt) return held.token;
    const wanted = { ttl_seconds: TTL_SECONDS, access, audience: 'database page', reason: 'browsing' };
    const token = this.#control
      .call('POST', `databases/${encodeURIComponent(this.#id)}/query-token`, wanted)
      .then((answer) => answer.query_token);
    token.catch(() => this.#tokens.delete(access));
    this.#tokens.set(access, { token, renewAt: Date.now() + (TTL_SECONDS - RENEW_SECONDS) * 1000 });
    return token;
  }

  async #post(endpoint, access, body, signal) {
    for (let attempt = 1; ; attempt += 1) {
      const response = await send(`sql/${encodeURIComponent(this.#id)}/${endpoint}`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${await this.#token(access, attempt > 1)}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify(body),
        signal,
      });
      if (response.ok) return response;
      // A rotation ends tokens early.
      if (response.status !== 401 || attempt > 1) throw await refusal(response);
    }
  }

  /**
   * Run statements `{ sql, args }` one after the other on a stream of their own, up to the first that fails; a transaction
   * that is left open is rolled back. Returns a result for each that began: `{ sql, columns, rows, count, cut, changed,
   * read, written, milliseconds, error }`; a last one without `sql` stands for a rollback.
   */
  async run(statements, { access = 'ro', signal } = {}) {
    const aborting = new AbortController();
    signal?.addEventListener('abort', () => aborting.abort(), { once: true });
    const steps = statements.map(({ sql, args }, index) => ({
      stmt: { sql, args },
      condition: index > 0 ? { type: 'ok', step: index - 1 } : undefined,
    }));
    const inTransaction = { type: 'not', cond: { type: 'is_autocommit' } };
    steps.push({ stmt: { sql: 'ROLLBACK', want_rows: false }, condition: inTransaction });
    const response = await this.#post('cursor', access, { baton: null, batch: { steps } }, aborting.signal);
    const results = [];
    let baton = null;
    let characters = 0;
    for await (const line of lines(response.body)) {
      const entry = JSON.parse(line);
      characters += line.length;
      if ('baton' in entry) {
        baton = entry.baton;
        continue;
      }
      take(entry, results, statements, characters > MOST_CHARACTERS);
      const last = results.at(-1);
      // Nothing is lost by ending a query early; what writes has to come to its end.
      if (last?.cut && access === 'ro' && results.length === statements.length) {
        aborting.abort();
        return results;
      }
    }
    if (baton !== null) {
      // Nobody waits for this: a stream that is not closed ends by itself.
      const closing = this.#post('pipeline', access, { baton, requests: [{ type: 'close' }] });
      closing.then((answer) => answer.text()).catch(() => {});
    }
    return results;
  }

  /** The rows of one query. Throws what failed. */
  async rows(sql, args = [], options = {}) {
    const [result] = await this.run([{ sql, args }], options);
    if (result.error) throw result.error;
    return result;
  }
}

function take(entry, results, statements, full) {
  const last = results.at(-1);
  switch (entry.type) {
    case 'step_begin':
      if (entry.step === statements.length) results.push({ columns: [], rows: [], count: 0 });
      else results.push(begun(statements[entry.step].sql, entry.cols));
      break;
    case 'row':
      last.count += 1;
      if (last.rows.length < MOST_ROWS && !last.cut && (!full || !last.rows.length)) last.rows.push(entry.row);
      else last.cut = true;
      break;
    case 'step_end':
      last.changed = entry.affected_row_count ?? 0;
      last.read = entry.rows_read ?? null;
      last.written = entry.rows_written ?? null;
      last.milliseconds = entry.query_duration_ms ?? null;
      break;
    case 'step_error':
      fail(entry.step < statements.length ? statements[entry.step].sql : 'ROLLBACK', entry.error, results);
      break;
    case 'error':
      fail(last?.sql ?? statements[0].sql, entry.error, results);
      break;
  }
}

function begun(sql, columns) {
  return { sql, columns, rows: [], count: 0, cut: false };
}

function fail(sql, error, results) {
  if (results.at(-1)?.sql !== sql || results.at(-1).changed !== undefined) results.push(begun(sql, []));
  results.at(-1).error = new Refused(200, error.message, error.extended_code ?? error.code ?? '');
}

/** Lines of JSON as they arrive. */
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    yield* parts.filter((line) => line);
  }
  if (rest) yield rest;
}
