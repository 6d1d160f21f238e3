"""Hostile scripts by what they attack. `ALL` is the table that the test goes through."""

from tests.hostile.attack import Attack
from tests.hostile.scripts import caching, console, cpu, events, loading, memory, outbound, platform, responses

ALL: list[Attack] = [
    *cpu.ATTACKS,
    *memory.ATTACKS,
    *responses.ATTACKS,
    *platform.ATTACKS,
    *console.ATTACKS,
    *outbound.ATTACKS,
    *loading.ATTACKS,
    *caching.ATTACKS,
    *events.ATTACKS,
]
