"""ES modules of a package in a real host."""

import pytest

from isolates.messages import LoadFailed
from isolates.v8.modules import ResolutionError, resolve
from tests.isolates.driver import Host


@pytest.mark.parametrize(
    ("specifier", "referrer", "path"),
    [
        ("main.js", "", "main.js"),
        ("./a.js", "", "a.js"),
        ("./a.js", "main.js", "a.js"),
        ("./a.js", "lib/b.js", "lib/a.js"),
        ("../a.js", "lib/b.js", "a.js"),
        ("/x/a.js", "lib/b.js", "x/a.js"),
        ("file:///x/a.js", "lib/b.js", "x/a.js"),
        ("./x/../a.js", "main.js", "a.js"),
    ],
)
def test_specifiers_mean_paths_in_the_package(specifier: str, referrer: str, path: str) -> None:
    assert resolve(specifier, referrer) == path


@pytest.mark.parametrize(
    ("specifier", "why"),
    [
        ("../../a.js", "outside the package"),
        ("/../a.js", "outside the package"),
        ("file:///../a.js", "outside the package"),
        ("react", "bundle dependencies"),
        ("node:fs", "Node.js modules are not available"),
        ("https://example.com/a.js", "Cannot find package"),
        ("./\0.js", "outside the package"),
    ],
)
def test_other_specifiers_are_refused(specifier: str, why: str) -> None:
    with pytest.raises(ResolutionError, match=why):
        resolve(specifier, "lib/b.js")


def test_files_import_each_other_also_in_a_circle(host: Host) -> None:
    edge = host.serve(
        {
            "main.js": "import { b } from './lib/b.js'; export const a = 40; export default () => b();",
            "lib/b.js": "import { a } from '../main.js'; import two, * as all from './c.js'; "
            "export const b = () => a + two + all.three;",
            "lib/c.js": "export default 2; export const three = 3;",
        }
    )
    assert edge.ask() == "45"


def test_top_level_await_is_waited_for(host: Host) -> None:
    edge = host.serve("const t = await new Promise((r) => setTimeout(() => r('late'), 20)); export default () => t;")
    assert edge.ask() == "late"


def test_dynamic_import_and_import_meta(host: Host) -> None:
    edge = host.serve(
        {
            "main.js": "export default async () => (await import('./sub/x.js')).default + import.meta.url;",
            "sub/x.js": "export default import.meta.url + ' ';",
        }
    )
    assert edge.ask() == "file:///sub/x.js file:///main.js"


def test_dynamic_import_of_a_missing_file_rejects(host: Host) -> None:
    edge = host.serve("export default () => import('./none.js').catch((e) => e instanceof TypeError && e.message);")
    assert "none.js" in edge.ask()


def test_a_module_that_failed_can_be_imported_again(host: Host) -> None:
    edge = host.serve(
        {
            "main.js": "export default async () => { let n = 0; for (const i of [1, 2]) "
            "await import('./bad.js').catch(() => n++); return n; };",
            "bad.js": "import './good.js'; import './none.js';",
            "good.js": "",
        }
    )
    assert edge.ask() == "2"


def failure(host: Host, files: dict[str, str] | str) -> LoadFailed:
    host.load(files)
    failed = host.end.expect(LoadFailed)
    assert host.exit_status() == 1
    return failed


def test_a_syntax_error_is_reported_with_file_line_and_column(host: Host) -> None:
    failed = failure(host, {"main.js": "import './lib/bad.js'", "lib/bad.js": "export default 1;\nlet x = = 2;"})
    assert (failed.file, failed.line, failed.column) == ("lib/bad.js", 2, 9)
    assert "Unexpected token '='" in failed.message


def test_an_exception_in_evaluation_is_reported_with_its_place(host: Host) -> None:
    failed = failure(host, "\n\nfunction f() { throw new RangeError('not today'); }\nf();")
    assert (failed.file, failed.line) == ("main.js", 3)
    assert failed.message == "RangeError: not today"


def test_a_missing_import_is_reported_at_its_statement(host: Host) -> None:
    failed = failure(host, "\n  import x from './zz.js';")
    assert (failed.file, failed.line, failed.column) == ("main.js", 2, 17)
    assert "zz.js" in failed.message


def test_a_missing_export_is_reported(host: Host) -> None:
    failed = failure(host, {"main.js": "\nimport { zip } from './b.js';", "b.js": ""})
    assert (failed.file, failed.line) == ("main.js", 2)
    assert "'zip'" in failed.message


def test_a_missing_main_is_reported(host: Host) -> None:
    assert "main.js" in failure(host, {"other.js": ""}).message


def test_a_symbolic_link_out_of_the_package_is_not_followed(host: Host) -> None:
    package = host.folder / host.host_id
    package.mkdir()
    (package / "main.js").symlink_to("/etc/hostname")
    assert "outside the package" in failure(host, {}).message


def test_an_exception_that_is_no_error_is_reported(host: Host) -> None:
    assert "null" in failure(host, "throw null").message
