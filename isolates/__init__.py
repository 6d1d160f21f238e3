"""The host process: zygote, host, ring, V8 binding and the web platform that apps run on.

Must never import `router` or `dataplane`.
"""
