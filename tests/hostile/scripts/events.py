"""Scripts that flood what the platform tells by events: rejections nobody sees, messages between isolates."""

from tests.hostile.attack import FINE, Attack

_OK = "return new respond('ok');"

ATTACKS = [
    Attack("rejections without end", frozenset({503, 504}), "for (;;) Promise.reject(0);"),
    Attack("rejections by the thousand", FINE, "for (let i = 0; i < 20_000; i++) Promise.reject(i);" + _OK,
           logged="more promises were rejected without a handler"),
    Attack("rejections that cannot be shown", FINE, """
      Promise.reject({ get stack() { throw 1; }, toString() { throw 2; }, [Symbol.toPrimitive]() { throw 3; } });
      Promise.reject(new Proxy({}, { get() { throw 4; }, ownKeys() { throw 5; }, getPrototypeOf() { throw 6; } }));
      const error = new Error("odd"); Object.defineProperty(error, "stack", { get() { throw 7; } });
      Promise.reject(error);""" + _OK, logged="Uncaught (in promise)"),
    Attack("rejections in the listener of rejections", FINE, """
      let more = 1000;
      addEventListener("unhandledrejection", () => { if (more-- > 0) Promise.reject(1); throw new Error("listener"); });
      Promise.reject(0);""" + _OK, logged="Error: listener"),
    Attack("deep rejections", FINE, """
      const down = (n) => { try { down(n + 1); } catch {} Promise.reject(n); }; down(0);""" + _OK),
    Attack("messages by the thousand", FINE, """
      const channels = [];
      for (let i = 0; i < 5000; i++) { try { channels.push(new BroadcastChannel("flood " + i)); } catch {} }
      for (let i = 0; i < 5000; i++) { try { channels[i % 10].postMessage("x".repeat(60_000)); } catch {} }""" + _OK,
           logged="over BroadcastChannel"),
    Attack("messages that answer themselves", FINE, """
      const [a, b] = [new BroadcastChannel("echo"), new BroadcastChannel("echo")];
      a.onmessage = b.onmessage = (event) => { event.target.postMessage(event.data); };
      a.postMessage(1);""" + _OK),
]  # fmt: skip
