"""Control groups of isolate hosts: what `/proc` says, and a node on a machine where it may make groups."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.supervisor.cgroups import Own, memory_bytes, memory_settings, oom_kills, own_group
from tests.node_server import Node, eventually

V2 = "24 23 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = """\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw"""
OWN_V1 = "9:name=systemd:/\n4:memory:/pods/one\n2:cpu,cpuacct:/\n0::/"


@pytest.mark.parametrize(
    ("cgroup", "mountinfo", "own"),
    [
        ("0::/system.slice/brrrd.service", V2, Own(2, "/sys/fs/cgroup/system.slice/brrrd.service", False)),
        ("0::/", V2, Own(2, "/sys/fs/cgroup", True)),
        (OWN_V1, V1, Own(1, "/sys/fs/cgroup/memory/pods/one", False)),
            # memory is a version 1 hierarchy that is not mounted: version 2 cannot have it either
        (OWN_V1, V2, None),
        # a container that shares the machine's namespace but sees its own part of the tree
        ("0::/docker/ab", V2.replace("0:22 /", "0:22 /docker/ab"), Own(2, "/sys/fs/cgroup", False)),
        ("0::/docker/abc/x", V2.replace("0:22 /", "0:22 /docker/ab"), None),
        # moved out of its namespace
        ("0::/../other", V2, None),
        ("0::/a b", V2.replace("/sys/fs", r"/sys\040fs"), Own(2, "/sys fs/cgroup/a b", False)),
        ("0::/x", "22 1 0:5 / /proc rw - proc proc rw", None),
        ("", V2, None),
    ],
)  # fmt: skip
def test_own_group_is_found_from_proc(cgroup: str, mountinfo: str, own: Own | None) -> None:
    assert own_group("memory", cgroup, mountinfo) == own


def test_limits_are_written_in_an_order_that_the_kernel_takes() -> None:
    assert memory_settings(2, 7, 9) == [("memory.max", "7"), ("memory.swap.max", "0")]
    memory, with_swap = ("memory.limit_in_bytes", "7"), ("memory.memsw.limit_in_bytes", "7")
    assert memory_settings(1, 7, 0) == memory_settings(1, 7, 9) == [memory, with_swap]
    assert memory_settings(1, 7, 5) == [with_swap, memory]


def test_kills_are_counted_in_either_version() -> None:
    assert oom_kills("low 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n") == 2
    assert oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n") == 1
    assert oom_kills("oom_kill_disable 0\nunder_oom 0\n") == 0


HOG = """
const kept = [];
export default { async fetch(request) {
  const { pathname, searchParams } = new URL(request.url);
  const most = Number(searchParams.get("mb"));
  try {
    if (pathname === "/buffers") for (let mb = 0; mb < most; mb++) kept.push(new Uint8Array(1 << 20).fill(1));
    if (pathname === "/wasm") {
      const memory = new WebAssembly.Memory({ initial: 0, maximum: 65536 });
      for (let mb = 0; mb < most; mb++) {
        const at = memory.grow(16) * 65536;
        new Uint8Array(memory.buffer, at).fill(1);
      }
    }
  } catch (error) {
    return new Response(`${error.name}: ${error.message}`, { status: 507 });
  }
  return new Response("had it all");
} }"""
LIMIT = {1: "memory.limit_in_bytes", 2: "memory.max"}
KILLS = {1: "memory.oom_control", 2: "memory.events"}
USAGE = {1: "memory.usage_in_bytes", 2: "memory.current"}


def own_of(controller: str) -> Own:
    """As the node finds it, which is started in the same group as this process is."""
    proc = Path("/proc/self")
    own = own_group(controller, (proc / "cgroup").read_text(), (proc / "mountinfo").read_text())
    assert own is not None
    return own


def folder_of(node: Node, controller: str) -> Path:
    assert node.process is not None
    return Path(own_of(controller).folder) / f"brrrd-{node.process.pid}"


def hosts_of(node: Node, app: str | None) -> list[dict[str, Any]]:
    key = node.control("GET", f"/v1/projects/default/apps/{app}").json()["app"]["app_id"] if app else None
    return [host for host in node.control("GET", "/v1/status").json()["hosts"] if host["app_id"] == key]


def group_of(node: Node, app: str, controller: str = "memory") -> Path:
    return folder_of(node, controller) / str(hosts_of(node, app)[0]["host_id"])


def skip_without_groups(node: Node) -> None:
    lacking = [one for one in node.control("GET", "/v1/status").json()["not_contained"] if "cgroup" in one]
    if lacking:
        pytest.skip(f"this machine does not let a node make groups: {lacking}")


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("groups") / "data", "--workers", "1", "--database-workers", "1") as node:
        skip_without_groups(node)
        node.deploy({"_worker.js": "export default { fetch: () => new Response('fine') }"}, "neighbour")
        yield node


def test_every_host_is_in_a_group_of_its_own(grouped: Node) -> None:
    manifest = '{"main": "_worker.js", "limits": {"memory_mb": 256}}'
    grouped.deploy({"_worker.js": HOG, "brrrd.json": manifest}, "larger")
    for app, memory_mb in (("neighbour", 128), ("larger", 256)):
        host = hosts_of(grouped, app)[0]
        memory, processes = group_of(grouped, app), group_of(grouped, app, "pids")
        assert (memory / "cgroup.procs").read_text().split() == [str(host["pid"])]
        assert int((memory / LIMIT[own_of("memory").version]).read_text()) == memory_bytes(memory_mb)
        assert (processes / "cgroup.procs").read_text().split() == [str(host["pid"])]
        assert int((processes / "pids.max").read_text()) < 1000
    assert any("cgroup for memory" in one for one in grouped.control("GET", "/v1/status").json()["containment"])


def test_a_group_goes_with_its_host(grouped: Node) -> None:
    grouped.deploy({"_worker.js": HOG}, "short")
    group = group_of(grouped, "short")
    assert group.is_dir()
    grouped.control("DELETE", "/v1/projects/default/apps/short")
    eventually(10, lambda: not group.exists())


@pytest.mark.parametrize("kind", ["buffers", "wasm"])
def test_memory_beside_the_heap_ends_below_the_group(grouped: Node, kind: str) -> None:
    app = f"hog-{kind}"
    grouped.deploy({"_worker.js": HOG}, app)
    group = group_of(grouped, app)
    answer = grouped.get(app, f"/{kind}?mb=4000", timeout=60)
    # The allocation throws, or V8 finds no room for the error and the isolate is ended.
    assert answer.status_code == 507 or (answer.status_code, answer.json()["code"]) == (503, "memory_mb")
    assert not group.exists() or "oom_kill 0" in (group / KILLS[own_of("memory").version]).read_text()
    assert grouped.get("neighbour").text == "fine"
    assert "host_memory" not in grouped.logged(app)


def test_a_host_that_the_kernel_ends_is_explained(grouped: Node) -> None:
    grouped.deploy({"_worker.js": HOG}, "greedy")
    group, version = group_of(grouped, "greedy"), own_of("memory").version
    # Less than what the process's own limit lets it have, as memory would be that this one does not count.
    (group / LIMIT[version]).write_text(str(int((group / USAGE[version]).read_text()) + (48 << 20)))
    neighbour = hosts_of(grouped, "neighbour")[0]["pid"]
    answer = grouped.get("greedy", "/buffers?mb=300", timeout=60)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    eventually(10, lambda: "limit host_memory = 576 MB" in grouped.logged("greedy"))
    counted = 'brrrd_host_limits_total{app="greedy",limit="host_memory",project="default"} 1.0'
    assert counted in grouped.control("GET", "/metrics").text
    assert grouped.get("greedy", "/").text == "had it all"
    assert hosts_of(grouped, "neighbour")[0]["pid"] == neighbour
    eventually(10, lambda: not group.exists())


def test_groups_of_a_dead_supervisor_are_removed(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "1", "--database-workers", "1")
    skip_without_groups(node)
    left = [folder_of(node, "memory"), folder_of(node, "pids")]
    family = node.processes()
    node.kill()
    assert all(folder.is_dir() for folder in left)
    eventually(10, lambda: not any(process.is_alive() for process in family))
    node.start()
    assert not any(folder.exists() for folder in left)
    now = [folder_of(node, "memory"), folder_of(node, "pids")]
    node.stop()
    assert not any(folder.exists() for folder in now)


WITHOUT_RIGHTS = """
import os
from runtime.supervisor.host_groups import HostGroups
os.setgid(65534)
os.setuid(65534)
groups = HostGroups.open()
print(groups.available, groups.applied, groups.missing)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="gives up being root")
def test_without_rights_hosts_get_no_groups(grouped: Node) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_RIGHTS], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False [] ['cgroup for memory (")
    assert "Permission denied" in done.stdout
    assert "isolate hosts run without: cgroup for memory" in done.stderr


HANDED_DOWN = """
import ctypes, json, os, pathlib, sys
from runtime.supervisor.host_groups import hand_down, take_back
libc = ctypes.CDLL(None, use_errno=True)
MS_REC, MS_PRIVATE = 0x4000, 0x40000

if libc.unshare(0x20000) or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
    sys.exit("no mount namespace")
if libc.mount(b"none", sys.argv[1].encode(), b"cgroup2", 0, None):
    sys.exit("cgroup2 cannot be mounted")
root = pathlib.Path(sys.argv[1])
controllers = tuple((root / "cgroup.controllers").read_text().split())[:1]
before = (root / "cgroup.subtree_control").read_text()
if controllers and controllers[0] not in before:
    (root / "cgroup.subtree_control").write_text("+" + controllers[0])
own = root / f"brrrd-test-{os.getpid()}"
top = own / "brrrd-1"
top.mkdir(parents=True)
(own / "cgroup.procs").write_text("0")
said = {"controllers": controllers}
try:
    said["lacking"], said["in_leaf"] = hand_down(own, top, controllers)
    said["where"] = pathlib.Path("/proc/self/cgroup").read_text().split("0::")[1].strip()
    (top / "host").mkdir()
    said["host has"] = (top / "host" / "cgroup.controllers").read_text().split()
    (top / "host").rmdir()
    take_back(own, top, said["lacking"], said["in_leaf"])
    said["back"] = pathlib.Path("/proc/self/cgroup").read_text().split("0::")[1].strip()
    child = os.fork()
    if not child:
        import signal
        signal.pause()
    try:
        hand_down(own, top, controllers)
    except OSError as error:
        said["refused"] = error.strerror
    said["left"] = [entry.name for entry in top.iterdir() if entry.is_dir()]
    os.kill(child, 9)
    os.waitpid(child, 0)
finally:
    (root / "cgroup.procs").write_text("0")
    top.rmdir()
    own.rmdir()
    if controllers and controllers[0] not in before:
        (root / "cgroup.subtree_control").write_text("-" + controllers[0])
print(json.dumps(said))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="mounts a hierarchy")
def test_version_2_hands_controllers_down_from_a_leaf(tmp_path: Path) -> None:
    """With whatever controller version 2 has here: the rules about processes are the same for all."""
    done = subprocess.run(
        [sys.executable, "-c", HANDED_DOWN, str(tmp_path)], capture_output=True, text=True, check=False
    )
    if "cannot be mounted" in done.stderr or "no mount namespace" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    if not said["controllers"]:
        pytest.skip("version 2 has no controller here")
    assert said["lacking"] == said["host has"] == said["controllers"]
    assert said["in_leaf"]
    assert said["where"].endswith("/brrrd-1/node")
    assert not said["back"].endswith("/node")
    assert said["refused"].startswith("other processes are in it")
    assert said["left"] == []
