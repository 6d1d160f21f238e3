"""Loads a build into a host: takes one that stands by, or has one forked, and gives it the app.

Used by `isolate_hosts.py`, for the hosts that it brings up, and by the supervisor, for a build that is being deployed.
Whether a host serves anybody afterwards is not decided here.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from isolates.messages import Load
from router.identity import Identity, SubrequestLimits, seal
from router.messages import Coming, Upstream
from runtime.supervisor.host import Host, HostFailed
from runtime.supervisor.host_groups import HostGroups
from runtime.supervisor.placement import Placement
from runtime.supervisor.standby import Standby
from runtime.supervisor.zygote import Zygote

LOAD_SECONDS = 10.0
"""A build whose evaluation takes longer is refused."""

log = logging.getLogger("brrrd.hosts")


class Loader:
    """`on_coming` is called when a host is being loaded that requests wait for, so that edge workers connect to it."""

    def __init__(
        self,
        run_dir: Path,
        *,
        zygote: Zygote,
        standby: Standby,
        groups: HostGroups,
        ticket_key: bytes,
        on_coming: Callable[[Coming], None],
    ) -> None:
        self._egress_socket = str(run_dir / "egress.s")
        self._cache_socket = str(run_dir / "cache.s")
        self._zygote = zygote
        self._standby = standby
        self._groups = groups
        self._ticket_key = ticket_key
        self._on_coming = on_coming

    def __repr__(self) -> str:
        return f"<Loader {self._standby!r}>"

    async def load(self, placement: Placement, *, announced: bool = False) -> Host:
        """Return a host that has evaluated the build. Only an `announced` one is known to edge workers by then.

        Raises `HostFailed`.
        """
        for _ in range(2):
            host = self._standby.take() or await self._zygote.fork()
            try:
                async with asyncio.timeout(LOAD_SECONDS):
                    await host.grouped.wait()  # long since, for one that stood by
                    self._give(host, placement)
                    if announced:
                        upstream = Upstream(host.host_id, str(host.socket_path))
                        self._on_coming(Coming(placement.app_id, placement.build_id, upstream))
                    await asyncio.shield(host.loaded)
                return host
            except TimeoutError:
                host.kill()
                raise HostFailed(f"{placement.main}: evaluation did not end within {LOAD_SECONDS:.0f} s") from None
            except HostFailed as error:
                if error.load is not None:
                    raise
                if await self._zygote.ended_by_itself(host):
                    raise HostFailed(f"the process died while it evaluated the build: {host.reason()}") from None
                log.warning("the zygote died while %s started; trying again", host.host_id)
            except BaseException:
                host.kill()
                raise
        raise HostFailed("the zygote died twice while a host started", is_build=False)

    def _give(self, host: Host, placement: Placement) -> None:
        try:
            self._groups.bound(host.host_id, placement.limits.memory_mb)
        except OSError as error:
            log.warning("the control group of host %s keeps its limit: %s", host.host_id, error)
        host.assign(placement, self._message(placement))

    def _message(self, placement: Placement) -> Load:
        assert placement.main is not None
        return Load(
            app_id=placement.app_id,
            build_id=placement.build_id,
            directory=placement.directory,
            main=placement.main,
            environment=placement.environment,
            limits=placement.limits,
            egress_socket=self._egress_socket,
            cache_socket=self._cache_socket,
            ticket=seal(_identity(placement), self._ticket_key),
            node=placement.node,
            assets=placement.asset_index is not None,
            scheduled=bool(placement.crons),
        )


def _identity(placement: Placement) -> Identity:
    own = placement.limits
    limits = SubrequestLimits(own.max_concurrent_subrequests, own.subrequest_ms, own.subrequest_mb)
    return Identity(placement.app_id, placement.build_id, limits)
