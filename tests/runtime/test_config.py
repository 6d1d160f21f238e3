"""Configuration: where values come from, and how mistakes are named."""

from pathlib import Path

import pytest

from runtime.cli.config_fields import reference
from runtime.config import Config, ConfigError
from runtime.config_sources import load


def test_command_line_beats_environment_beats_file(tmp_path: Path) -> None:
    file = tmp_path / "brrrd.toml"
    file.write_text('listen = "127.0.0.1:1000"\nworkers = 3\ndb_hosts = ["db.example.com"]\n')
    environ = {"BRRRD_WORKERS": "4", "BRRRD_LISTEN": "127.0.0.1:2000", "BRRRD_API": "http://elsewhere"}
    config = load(file, environ, {"listen": "127.0.0.1:3000", "control": None})
    assert (config.listen, config.workers, config.db_hosts) == ("127.0.0.1:3000", 4, ["db.example.com"])
    assert config.control == Config().control


def test_lists_in_the_environment_are_comma_separated() -> None:
    assert load(None, {"BRRRD_DB_HOSTS": "a.example, b.example,"}).db_hosts == ["a.example", "b.example"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("lisen = 'x'", ["lisen"]),
        ("listen = 'nonsense'", ["listen", "host:port"]),
        ("listen = '127.0.0.1:99999'", ["listen"]),
        ("workers = 'many'", ["workers", "int"]),
        ("workers = -1", ["workers"]),
        ("log_format = 'xml'", ["log_format: expected auto, human or json, not 'xml'"]),
        ("public_db_url = 'https://db.example.com/'", ["public_db_url: must not end with a slash"]),
        ("limit_ceilings = ['wall_ms: 5']", ["limit_ceilings", "NAME=VALUE", "wall_ms: 5"]),
        ("listen = ", ["TOML"]),
    ],
)
def test_a_mistake_in_the_file_is_refused_by_name(tmp_path: Path, text: str, parts: list[str]) -> None:
    file = tmp_path / "node.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load(file, {})
    for part in ["node.toml", *parts]:
        assert part in str(error.value)


def test_a_mistake_in_a_variable_names_the_variable() -> None:
    with pytest.raises(ConfigError, match="BRRRD_WORKERS: expected an integer"):
        load(None, {"BRRRD_WORKERS": "two"})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "gone.toml", {})


def test_every_key_is_described() -> None:
    fields = {field.name: field for field in reference()}
    assert set(fields) == set(Config.__struct_fields__)
    assert all(len(field.description) > 20 for field in fields.values())
    assert fields["listen"][:4] == ("listen", "BRRRD_LISTEN", "string", '"127.0.0.1:8080"')
    assert (fields["db_hosts"].type, fields["db_hosts"].section) == ("list of strings", "Databases")
    assert all(field.section for field in fields.values())


def test_the_operator_token_is_not_in_the_repr() -> None:
    assert "secret" not in repr(Config(operator_token="secret"))


def test_hosts_of_database_urls_belong_to_the_data_plane() -> None:
    config = Config(listen="192.0.2.7:80", public_db_url="https://DB.example.com:8443", db_hosts=["localhost"])
    assert config.data_hosts() == ["localhost", "192.0.2.7", "db.example.com"]
    assert Config(listen="[::]:80", db_hosts=[]).data_hosts() == []
    assert Config(listen="[::1]:80", db_hosts=[]).data_hosts() == ["[::1]"]
    assert Config(listen="[2001:DB8::1]:80", db_hosts=[]).data_hosts() == ["[2001:db8::1]"]
