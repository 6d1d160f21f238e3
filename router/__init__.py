"""The edge: ASGI application, host table, dispatch, deadlines, static assets, error pages, and egress.

Must never import V8 or libsql.
"""
