"""Bounds on numbers that are set in more than one place: a manifest, a call of the control API, the configuration.

Here they are the same, whoever checks. A leaf module: it imports nothing.
"""

MOST_CONCURRENT_REQUESTS = 100_000
"""Requests at once that an app may be allowed."""
