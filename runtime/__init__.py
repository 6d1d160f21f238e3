"""The node: command line, configuration, supervisor, control API, state, telemetry.

Other rooms may import only the leaf modules `runtime.config`, `runtime.channel`, `runtime.framing` and
`runtime.child`, which import nothing else of this room.
"""
