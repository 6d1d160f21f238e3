"""The V8 engine by `ctypes`: the only place that knows V8's symbols and memory layouts.

The PyPI package `mini-racer` carries a V8 whose whole C++ interface is exported. This package calls it directly, on the
caller's own thread, and uses none of mini-racer's Python or its pump thread: a call from JavaScript into Python costs
0.3 µs this way, against 15 µs for a one-way notification by mini-racer.

    symbols    every symbol in use, with its arguments and structures
    engine     find the library, check its version, bind every symbol, initialise V8
    isolate    one isolate with one context: evaluate, call, functions, buffers, limits
    blocks     memory that ArrayBuffers are over in turn
    values     what takes several steps: JSON, synthetic modules
    errors     JavaScript exceptions and engine refusals as Python exceptions
    modules    ES modules of a package: static and dynamic import, import.meta
    specifiers what an import's specifier names
    builtins   the modules that come with the platform
    snapshot   a start-up snapshot that already holds the web platform

Everything here is for the `isolates` room. Nothing here opens sockets.
"""
