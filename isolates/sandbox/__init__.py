"""What keeps a host that was broken into from reaching anything but its own app: the kernel's locks around a process.

`layers.py` is the room's face: the zygote calls `prepare` once, each host `Sandbox.approach` once, and `Sandbox.enter`
after it knows its package and before any code of the app runs. The other modules each hold one lock. All of it is
system calls by `ctypes`; nothing here knows of V8 or of messages.
"""
