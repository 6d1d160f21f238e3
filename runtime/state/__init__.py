"""Desired state in one SQLite file: what the node is to serve, and what was acknowledged to operators.

`store.py` owns the connection and its thread; each other module holds one noun: its record and the statements on it,
as functions that take a connection. Only the control API and start-up call this room.
"""
