"""What JavaScript is told of its app when it boots. Used by the host."""

import json

from isolates.messages import Load


def boot_config(load: Load, version: str) -> str:
    """Return the second argument of `__brrrd_boot` (`isolates/js/src/main.ts`) as JSON."""
    return json.dumps(
        {
            "app_id": load.app_id,
            "build_id": load.build_id,
            "main": load.main,
            "environment": load.environment,
            "limits": {
                "wall_ms": load.limits.wall_ms,
                "max_concurrent_requests": load.limits.max_concurrent_requests,
                "queue_ms": load.limits.queue_ms,
                "response_mb": load.limits.response_mb,
                "cron_wall_ms": load.limits.cron_wall_ms,
                "max_websockets": load.limits.max_websockets,
                "websocket_message_kb": load.limits.websocket_message_kb,
                "subrequests": load.limits.subrequests,
            },
            "scheduled": load.scheduled,
            "node": load.node,
            "assets": load.assets,
            "version": version,
        }
    )
