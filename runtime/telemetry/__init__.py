"""What the node says about itself: metrics, app logs, its own structured log.

Processes push counters once a second; nothing here is on a request's path.
"""
