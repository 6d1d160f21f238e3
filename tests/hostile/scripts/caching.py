# ruff: noqa: E501 a script that fits on one line is easier to read than a broken one
"""Scripts that misuse the Cache API, whose process all apps share."""

from tests.hostile.attack import FINE, GONE, THROWN, TIMEOUT, Attack

_KEY = "http://hostile/"
_ENDLESS = "new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(65536)); } })"

ATTACKS = [
    Attack("cache entries without end", TIMEOUT, f"for (let i = 0; ; i++) await caches.default.put('{_KEY}' + i, new Response('x'));"),
    Attack("cache entries without waiting", GONE | THROWN, f"for (let i = 0; ; i++) caches.default.put('{_KEY}' + i, new Response('x')).catch(() => {{}});"),
    Attack("cached body without end", THROWN | TIMEOUT, f"await caches.default.put('{_KEY}endless', new Response({_ENDLESS}));"),
    Attack("many cached bodies without end", THROWN | TIMEOUT | GONE, f"""
      await Promise.all(Array.from({{ length: 200 }}, (_, i) => caches.default.put('{_KEY}endless' + i, new Response({_ENDLESS}))));"""),
    Attack("cached body that never comes", TIMEOUT, f"await caches.default.put('{_KEY}never', new Response(new ReadableStream({{}})));"),
    Attack("cached bodies never read", FINE | THROWN, f"""
      await caches.default.put('{_KEY}big', new Response(new Uint8Array(2e6)));
      const all = await Promise.allSettled(Array.from({{ length: 500 }}, () => caches.default.match('{_KEY}big')));
      globalThis.kept = all;
      return new Response(all.filter((one) => one.status === 'fulfilled').length + '');"""),
    Attack("cache keys of 100 KB", THROWN, f"await caches.default.put('{_KEY}?' + 'k'.repeat(1e5), new Response(''));",
           logged="16384 bytes"),
    Attack("variants of a cached URL without end", TIMEOUT, f"""
      for (let i = 0; ; i++) {{
        const request = new Request('{_KEY}varied', {{ headers: {{ 'x-key': i + '' }} }});
        await caches.default.put(request, new Response('', {{ headers: {{ vary: 'x-key' }} }}));
      }}"""),
    Attack("lists of a full cache", TIMEOUT | FINE, f"""
      const cache = await caches.open('full');
      for (let i = 0; i < 500; i++) await cache.put('{_KEY}' + i, new Response('x'));
      for (;;) await Promise.all([cache.keys(), cache.matchAll()]);"""),
    Attack("names of another app's cache", FINE, """
      const all = await Promise.all(['-', '=x', '../neighbour', '\\n-', 'a\\nb'].map((name) => caches.open(name)));
      return new Response((await all[3].match('http://neighbour/')) === undefined ? 'nothing' : 'something');""", text="nothing"),
    Attack("cache headers that break the call", THROWN | FINE, f"""
      await caches.default.put(new Request('{_KEY}', {{ headers: {{ a: 'b' }} }}), new Response('', {{ statusText: 'a\\nb' }}));"""),
    # The last: from then on the app can make no other cache.
    Attack("cache names without end", THROWN, "for (let i = 0; ; i++) await caches.open('cache ' + i);", logged="256 caches"),
]  # fmt: skip
