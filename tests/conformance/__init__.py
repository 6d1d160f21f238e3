"""Web-platform-tests against the isolate runtime: `python -m tests.conformance --wpt DIR`.

Builds one self-contained worker per test file of a web-platform-tests checkout (`script.py`, `worker.js`), runs each in
a real isolate host and, if asked, in workerd (`runtimes.py`), and compares what failed with `known_gaps.toml`
(`gaps.py`). Which files make up a suite is in `suites.toml`. No text of web-platform-tests is kept here.
"""
