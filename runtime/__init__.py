"""The node: command line, configuration, supervisor, control API, state, telemetry.

Other rooms may import only its leaf modules, which `docs/contributors.md` lists and which import nothing else of it.
"""
