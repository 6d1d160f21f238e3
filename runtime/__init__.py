"""The node: command line, configuration, supervisor, control API, state, telemetry.

Other rooms may import only the leaf modules `runtime.channel` and `runtime.config`, which import nothing else of
this room.
"""
