"""The cache process: what apps keep with the Cache API (`caches.default`, `caches.open`), on disk, apart for each app.

Isolate hosts have no files. Their calls arrive here as frames (`router.cache.calls`), and whose they are is told by
their tickets (`router.identity`). It is a process of its own, because it waits for the disk and its callers are many:
neither an app's subrequests (`router.egress`) nor the edge wait behind it.

Entries are rows of an SQLite file (`index`); bodies of more than a frame are files beside it (`store`). Reads happen on
the event loop, through a connection that is never kept from reading; all writes on one thread (`writer`).
"""
