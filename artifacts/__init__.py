"""Packages: manifest, safe unpacking, the content-addressed store and the asset index. Never trusts an archive."""
