// A libSQL database over HTTP, without a client library: one POST to /v2/pipeline. Real applications use a client such
// as @libsql/client/web; this file shows how little it does.

/** Connect to the database at `url` with its token. Returns `query(sql, args)`, which resolves to an array of objects. */
export function connect(url, token) {
  return async function query(sql, args = []) {
    const response = await fetch(`${url}/v2/pipeline`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({
        requests: [{ type: "execute", stmt: { sql, args: args.map(toValue) } }, { type: "close" }],
      }),
    });
    if (!response.ok) throw new Error(`database: ${response.status} ${await response.text()}`);
    const [first] = (await response.json()).results;
    if (first.type === "error") throw new Error(`database: ${first.error.message}`);
    const { cols, rows } = first.response.result;
    return rows.map((row) => Object.fromEntries(row.map((value, i) => [cols[i].name, fromValue(value)])));
  };
}

function toValue(value) {
  if (value === null) return { type: "null" };
  if (Number.isSafeInteger(value)) return { type: "integer", value: String(value) };
  return { type: "text", value: String(value) };
}

function fromValue(value) {
  if (value.type === "null") return null;
  if (value.type === "integer") return Number(value.value);
  return value.value;
}
