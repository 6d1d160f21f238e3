"""What can only be told of a configuration by trying it: rules that another room parses, files that must be readable.

Called by `runtime.serve` before anything is started, so that a mistake is named at once instead of being the reason why
some process dies. Must not change anything.
"""

import re
import ssl
from ipaddress import ip_network

from artifacts.manifest import Limits
from router.egress.policy import AddressPolicy, AllowRuleError
from router.hosts import BadHostError, normalise
from router.tls import server_tls
from runtime.config import Config, ConfigError

_DATABASE_ID = re.compile(r"db-[a-z2-7]{12}")


def check(config: Config) -> None:
    """Raise `ConfigError` naming the key that cannot be used."""
    try:
        AddressPolicy(config.egress_allow)
    except AllowRuleError as error:
        raise ConfigError(str(error)) from None
    for network in config.trusted_proxies:
        try:
            ip_network(network, strict=False)
        except ValueError:
            raise ConfigError(f"trusted_proxies: {network!r} is not a network such as 10.0.0.0/8") from None
    _check_databases(config)
    _check_ceilings(config)
    _check_listener(config)
    _check_authorities(config)


def _check_databases(config: Config) -> None:
    for key, hosts in (("db_hosts", config.db_hosts), ("listen or public_db_url", config.data_hosts())):
        for host in hosts:
            try:
                normalise(host.encode())
            except BadHostError:
                raise ConfigError(f"{key}: {host!r} is not a host name such as db.example.com") from None
    for database in config.protected_databases:
        if not _DATABASE_ID.fullmatch(database):
            # A name would protect nothing, and nobody would notice.
            raise ConfigError(
                f"protected_databases: {database!r} is not a database's id, as `brrrd databases list` has it"
            )


def _check_ceilings(config: Config) -> None:
    for name, most in config.ceilings().items():
        if name not in Limits.__struct_fields__:
            known = ", ".join(Limits.__struct_fields__)
            raise ConfigError(f"limit_ceilings: {name!r} is none of a manifest's limits, which are {known}")
        own = getattr(config, name)
        if own > most:
            raise ConfigError(f"limit_ceilings: {name} is {most}, but without a manifest an app has {own}: see {name}")


def _check_listener(config: Config) -> None:
    if not config.tls_cert and not config.tls_key:
        return
    if not config.tls_cert or not config.tls_key:
        raise ConfigError("tls_cert and tls_key must be set together")
    for key, path in (("tls_cert", config.tls_cert), ("tls_key", config.tls_key)):
        _check_file(key, path)
    try:
        server_tls(config.tls_cert, config.tls_key, ["http/1.1"])
    except OSError as error:
        reason = error.reason or "the files are not PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"tls_cert and tls_key are no certificate with its key: {reason}") from None


def _check_authorities(config: Config) -> None:
    if not config.egress_ca_file:
        return
    _check_file("egress_ca_file", config.egress_ca_file)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(config.egress_ca_file)
    except ssl.SSLError:
        raise ConfigError(f"egress_ca_file: {config.egress_ca_file} holds no certificates (PEM)") from None


def _check_file(key: str, path: str) -> None:
    try:
        with open(path, "rb"):  # noqa: PTH123 the shortest way to learn whether it can be read
            pass
    except OSError as error:
        raise ConfigError(f"{key}: {path} cannot be read: {error.strerror}") from None
