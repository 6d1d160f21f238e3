"""Every interface, function and attribute of the Minimum Common Web API is on the global object of a real host."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.isolates import minimum_common as common
from tests.isolates.driver import Zygote

APP = """
const at = (name) => name.split('.').reduce((holder, part) => holder?.[part], globalThis);
const look = (holder, names) => names.filter((name) => !(name in (holder ?? {})));
const events = [];
addEventListener('error', (event) => events.push(event.constructor.name, event.error.message));

export default async function (request) {
  const wanted = await request.json();
  const missing = [];
  for (const [name, { members, own, parent }] of Object.entries(wanted.interfaces)) {
    const Interface = at(name);
    if (typeof Interface !== 'function') missing.push(name);
    else {
      missing.push(...look(Interface.prototype, members).map((member) => `${name}.prototype.${member}`));
      missing.push(...look(Interface, own).map((member) => `${name}.${member}`));
      if (parent && !(Interface.prototype instanceof at(parent))) missing.push(`${name} as a ${parent}`);
      const tag = Interface.prototype[Symbol.toStringTag];
      if (parent !== 'Error' && tag !== name) missing.push(`${name}'s tag, which is ${tag}`);
    }
  }
  for (const name of wanted.functions) if (typeof at(name) !== 'function') missing.push(`${name}()`);
  for (const name of wanted.objects) if (typeof at(name) !== 'object') missing.push(name);
  for (const name of wanted.handlers) if (globalThis[name] !== null) missing.push(name);
  for (const name of wanted.console) if (typeof console[name] !== 'function') missing.push(`console.${name}()`);
  onerror = (message) => events.push(message);
  reportError(new Error('reported'));
  const [zero] = new Uint8Array(1);
  const replaced = globalThis.performance;
  globalThis.performance = zero;
  const overwritten = globalThis.performance;
  globalThis.performance = replaced;
  return Response.json({ missing, events, overwritten, agent: navigator.userAgent, isTarget: self === globalThis });
}
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    wanted = {
        "interfaces": {
            name: {"members": one.members.split(), "own": one.static.split(), "parent": one.parent}
            for name, one in common.INTERFACES.items()
        },
        "functions": common.FUNCTIONS.split(),
        "objects": common.OBJECTS.split(),
        "handlers": common.HANDLERS.split(),
        "console": common.CONSOLE.split(),
    }
    with Zygote(tmp_path_factory.mktemp("hosts"), tmp_path_factory.mktemp("cache"), platform=None) as zygote:
        yield json.loads(zygote.fork().serve(APP).ask(body=json.dumps(wanted).encode()))


def test_nothing_is_missing(found: dict[str, Any]) -> None:
    assert found["missing"] == []


def test_an_exception_is_reported_to_the_global_object(found: dict[str, Any]) -> None:
    assert found["isTarget"]
    assert found["events"] == ["ErrorEvent", "reported", "Error: reported"]


def test_apps_may_overwrite_attributes(found: dict[str, Any]) -> None:
    assert found["overwritten"] == 0


def test_the_user_agent_is_a_product(found: dict[str, Any]) -> None:
    product, slash, version = found["agent"].partition("/")
    assert (product, slash) == ("brrrd", "/")
    assert version.replace(".", "").isdigit()
