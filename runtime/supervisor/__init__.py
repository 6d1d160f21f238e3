"""Starts and watches the node's processes, and tells them what to serve.

Decisions live in pure modules (`backoff`, `hosts`, `routes`, `placement`); `process`, `slot`, `zygote`, `isolate_hosts`
and `supervisor` do the I/O. Nothing here knows of HTTP or of the state file.
"""
