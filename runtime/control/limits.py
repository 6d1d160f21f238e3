"""What one build may use: of the deploy call, the manifest and the node's configuration. Pure; asked at each deploy."""

from artifacts.errors import PackageError, bad_manifest
from artifacts.manifest import Manifest
from isolates.messages import Limits
from runtime.config import Config
from runtime.control.problems import Problem


def limits(config: Config, manifest: Manifest, max_concurrent_requests: int | None) -> Limits:
    """The call's value, else the manifest's, else the node's; a limit that is off by default bounds every manifest.

    Raises `PackageError`, or `Problem` for the call's value, when a value is above the operator's ceiling.
    """
    own = manifest.limits
    ceilings = config.ceilings()
    for name, most in ceilings.items():
        value = getattr(own, name)
        if value is not None and value > most:
            raise _above(name, value, most)
    allowed = ceilings.get("max_concurrent_requests")
    if allowed is not None and max_concurrent_requests is not None and max_concurrent_requests > allowed:
        sentence = f"max_concurrent_requests is {max_concurrent_requests}; this node allows {allowed} at most."
        raise Problem(422, sentence, "Limit above the node's")
    return Limits(
        wall_ms=own.wall_ms or config.wall_ms,
        memory_mb=own.memory_mb or config.memory_mb,
        max_concurrent_requests=max_concurrent_requests
        or own.max_concurrent_requests
        or config.max_concurrent_requests,
        queue_ms=config.queue_ms,
        cpu_ms=_stricter(own.cpu_ms, config.cpu_ms),
        response_mb=_stricter(own.response_mb, config.response_mb),
        module_mb=config.module_mb,
        cron_wall_ms=own.cron_wall_ms or config.cron_wall_ms,
        max_websockets=own.max_websockets or config.max_websockets,
        websocket_message_kb=own.websocket_message_kb or config.websocket_message_kb,
        subrequests=_stricter(own.subrequests, config.subrequests),
        max_concurrent_subrequests=_stricter(own.max_concurrent_subrequests, config.max_concurrent_subrequests),
        subrequest_ms=_stricter(own.subrequest_ms, config.subrequest_ms),
        subrequest_mb=_stricter(own.subrequest_mb, config.subrequest_mb),
    )


def _stricter(own: int | None, node: int) -> int:
    """The smaller of two limits of which either may be off (None or 0)."""
    return min(own, node) if own and node else own or node


def _above(name: str, value: int, most: int) -> PackageError:
    return bad_manifest(f'brrrd.json: "limits.{name}": {value} is more than this node allows, which is {most}')
