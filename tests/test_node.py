"""The Node.js of the tests itself."""

import os
import select
from pathlib import Path

import pytest

from tests.node import NodeError, bundle, npm_project, run_node


def test_npm_packages_are_installed_once_and_can_be_imported() -> None:
    folder = npm_project("self-test", {"itty-router": "6.0.0"})
    assert npm_project("self-test", {"itty-router": "6.0.0"}) == folder
    printed = run_node(folder, "import { AutoRouter } from 'itty-router'; console.log(typeof AutoRouter().get)")
    assert printed.strip() == "function"


def test_a_failing_script_shows_its_output(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="reason: 42"):
        run_node(tmp_path, "console.error('reason: ' + 6 * 7); process.exit(3)")


def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    printed = run_node(
        tmp_path,
        """
        import { spawn } from 'node:child_process';
        const left = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 1e9)'], { stdio: 'ignore' });
        left.unref();
        console.log(left.pid);
        """,
    )
    try:
        left = os.pidfd_open(int(printed))
    except ProcessLookupError:
        return
    with os.fdopen(left) as ended:
        assert select.select([ended], [], [], 60)[0]


def test_ranges_of_versions_are_refused() -> None:
    with pytest.raises(ValueError, match="exact version"):
        npm_project("self-test", {"itty-router": "^5.0.0"})


def test_esbuild_bundles_packages_into_one_module(tmp_path: Path) -> None:
    folder = npm_project("self-test-bundle", {"esbuild": "0.28.2", "itty-router": "6.0.0"})
    entry = tmp_path / "index.ts"
    entry.write_text("import { json } from 'itty-router'; const n: number = 1; export default () => json({ n })")
    bundle(folder, entry, tmp_path / "out.js")
    printed = run_node(tmp_path, "import f from './out.js'; console.log(await f().text())")
    assert printed.strip() == '{"n":1}'
