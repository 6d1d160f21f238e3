"""The egress process: every outbound request of every app, under one address policy.

Isolate hosts have no network. Their `fetch` arrives here as frames (`isolates.wire`, this process in the server's role)
and leaves in one of three ways: to the node's databases as calls of their workers (`databases`), to its other names
over the edge workers' Unix sockets (`local`), and to everything else over TCP, but only to addresses that the policy
permits (`public`).
"""
