"""Mistakes in the configuration that are found before anything is started."""

from pathlib import Path

import pytest

from runtime.config import Config, ConfigError
from runtime.preconditions import check
from tests.router.certificates import certificates


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        (Config(egress_allow=["10.0.0.0/8", "::what::"]), ["egress_allow", "::what::"]),
        (Config(egress_allow=["db.internal:99999"]), ["egress_allow", "db.internal:99999"]),
        (Config(trusted_proxies=["proxy.internal"]), ["trusted_proxies", "proxy.internal"]),
        (Config(tls_cert="/nowhere/cert.pem", tls_key="/nowhere/key.pem"), ["tls_cert", "/nowhere/cert.pem"]),
        (Config(limit_ceilings=["speed=9"]), ["limit_ceilings", "'speed'", "wall_ms"]),
        (Config(limit_ceilings=["memory_mb=64"]), ["limit_ceilings", "memory_mb is 64", "128"]),
        (Config(db_hosts=["http://db.example.com"]), ["db_hosts", "'http://db.example.com'", "host name"]),
        (Config(public_db_url="https://db example.com"), ["public_db_url", "'db example.com'"]),
        (Config(protected_databases=["orders"]), ["protected_databases", "'orders'", "id"]),
        (Config(tls_cert="/nowhere/cert.pem"), ["tls_cert and tls_key must be set together"]),
    ],
)
def test_a_mistake_is_refused_by_name(config: Config, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        check(config)
    for part in parts:
        assert part in str(error.value)


def test_a_certificate_needs_its_own_key(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        certificates(tmp_path / name)
    one, two = (str(tmp_path / name / "server.pem") for name in ("one", "two"))
    check(Config(tls_cert=one, tls_key=one))
    with pytest.raises(ConfigError, match="tls_cert and tls_key are no certificate with its key"):
        check(Config(tls_cert=one, tls_key=two))
    with pytest.raises(ConfigError, match="no certificate"):
        check(Config(tls_cert=one, tls_key=str(tmp_path / "one" / "ca.pem")))


def test_authorities_are_certificates(tmp_path: Path) -> None:
    authority = certificates(tmp_path)[0]
    check(Config(egress_ca_file=str(authority)))
    authority.write_text("nothing of the kind")
    with pytest.raises(ConfigError, match=r"egress_ca_file: .* holds no certificates"):
        check(Config(egress_ca_file=str(authority)))


def test_what_is_right_passes() -> None:
    check(Config())
    check(Config(egress_allow=["10.0.0.0/8", "*.internal:443"], trusted_proxies=["10.1.2.3", "::1/128"]))
