"""Tests of brrrd; the folders mirror the rooms, `apps/` holds real applications, `e2e/` drives a whole node."""
