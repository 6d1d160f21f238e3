# ruff: noqa: E501 a script that fits on one line is easier to read than a broken one
"""Scripts that send, and the network that they may not reach. The apps' own host names are the only peers."""

from tests.hostile.attack import FINE, GONE, THROWN, TIMEOUT, Attack

_SELF = "http://hostile.localhost"

ATTACKS = [
    Attack("fetch bomb to itself", FINE | GONE | THROWN, f"""
      await Promise.allSettled(Array.from({{ length: 200 }}, () => fetch("{_SELF}/more")));
      return new Response("ok");"""),
    Attack("fetch chain to itself", FINE | GONE | THROWN, f"""
      const answer = await fetch("{_SELF}/again"); return new Response(await answer.text());"""),
    Attack("many fetches at once", FINE | GONE, f"""
      const all = await Promise.allSettled(Array.from({{ length: 5000 }}, () => fetch("{_SELF}/well")));
      return new Response(all.length + "");"""),
    Attack("fetches never read", FINE | GONE, f"""
      for (let i = 0; i < 2000; i++) fetch("{_SELF}/well").catch(() => {{}});
      return new Response("ok");"""),
    Attack("many refused addresses", FINE | GONE, """
      const all = await Promise.allSettled(Array.from({ length: 5000 }, () => fetch("http://10.0.0.1/")));
      return new Response(all.every((one) => one.reason instanceof TypeError) + "");"""),
    Attack("fetch in an endless loop", GONE | THROWN, f"for (;;) fetch('{_SELF}/well').catch(() => {{}});"),
    Attack("endless upload", FINE | GONE | THROWN, f"""
      const body = new ReadableStream({{ pull(c) {{ c.enqueue(new Uint8Array(65536)); }} }});
      const answer = await fetch("{_SELF}/well", {{ method: "POST", body, duplex: "half" }});
      return new Response(await answer.text());"""),
    Attack("upload that never starts", FINE | TIMEOUT | THROWN, f"""
      const answer = await fetch("{_SELF}/well", {{ method: "POST", body: new ReadableStream({{}}), duplex: "half" }});
      return new Response(await answer.text());"""),
    Attack("headers that break the request", THROWN, f"""
      await fetch("{_SELF}/well", {{ headers: {{ x: "a\\r\\nhost: other" }} }});"""),
    Attack("headers too large to send", THROWN, f"await fetch('{_SELF}/well', {{ headers: {{ x: 'a'.repeat(1e6) }} }});"),
    Attack("aborts by the thousand", FINE | GONE, f"""
      for (let i = 0; i < 2000; i++) {{
        const c = new AbortController(); fetch("{_SELF}/well", {{ signal: c.signal }}).catch(() => {{}}); c.abort();
      }}
      return new Response("ok");"""),
    Attack("loopback", THROWN, "await fetch('http://127.0.0.1:22/');"),
    Attack("cloud metadata", THROWN, "await fetch('http://169.254.169.254/latest/meta-data/');"),
    Attack("files", THROWN, "await fetch('file:///etc/passwd');"),
    Attack("huge data URL", FINE | GONE | THROWN, """
      const answer = await fetch("data:text/plain," + "x".repeat(1e8)); await answer.text();
      return new Response("ok");"""),
    Attack("request with throwing traps", THROWN | FINE, f"""
      const init = new Proxy({{}}, {{ get(_, k) {{ throw new Error(String(k)); }} }});
      await fetch("{_SELF}/well", init); return new Response("ok");"""),
    Attack("request that is a proxy", THROWN | FINE, f"""
      await fetch(new Proxy(new Request("{_SELF}/well"), {{}})); return new Response("ok");"""),
]  # fmt: skip
