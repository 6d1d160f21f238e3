"""The node: command line, configuration, supervisor, control API, state, telemetry.

Other rooms may import only the leaf modules `runtime.channel`, `runtime.framing`, `runtime.child`, `runtime.malloc`,
`runtime.patience`, `runtime.priority`, `runtime.looking` and `runtime.lookout`, which import nothing else of this room.
"""
