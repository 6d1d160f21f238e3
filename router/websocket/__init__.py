"""WebSockets (RFC 6455) of apps: the protocol itself, for the edge (`router.upgrade`) and for egress alike.

The data plane's WebSockets are an ASGI application's and do not come here.
"""
