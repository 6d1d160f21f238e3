"""libSQL: Hrana codecs, HTTP endpoints, streams and batons, tokens, catalog, database workers.

Must never import V8, nor run SQL on an event loop.
"""
