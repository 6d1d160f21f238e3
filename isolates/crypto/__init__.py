"""Web Crypto's algorithms for isolates: over `cryptography` and `hashlib`, asked for through `isolates/operations.py`.

JavaScript (`isolates/js/src/crypto/`) keeps the keys and does what the specification says about names, parameters,
usages and the order of checks; here are only functions of bytes.
"""
