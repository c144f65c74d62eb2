"""What of a wheel reaches an image."""

import subprocess

import pytest

from mm_images import dependencies
from mm_images.facts import facts
from mm_images.python_311 import python_311


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    generated = folder / facts().byte_code_only[0]
    for package in (folder / "lib" / "tests", folder / "bin", generated):
        package.mkdir(parents=True)
    for parent in (generated, *generated.parents):
        if parent == folder:
            break
        (parent / "__init__.py").write_text('"""Words."""\nVALUE = 7\n')
    (folder / "lib" / "__init__.py").write_text("")
    for name in ("fast.pyx", "fast.c", "fast.so", "__init__.pyi", "tests/test_x.py"):
        (folder / "lib" / name).write_text("")
    return folder


def test_tests_stubs_and_sources_of_compiled_modules_stay_out(site):
    dependencies._leave_out_unread(site)
    assert sorted(path.name for path in (site / "lib").iterdir()) == ["__init__.py", "fast.so"]
    assert not (site / "bin").exists()


def test_generated_code_is_importable_without_source_or_words(site):
    dependencies._replace_source_by_byte_code(site, purpose="generated code")
    folder = facts().byte_code_only[0]
    assert [path.name for path in (site / folder).iterdir()] == ["__init__.pyc"]
    module = folder.replace("/", ".")
    check = f"import {module} as m; print(m.VALUE, m.__doc__)"
    done = subprocess.run(
        [python_311(), "-c", check], env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "7 None\n"


def test_no_wheel_may_ask_for_a_newer_c_library_than_the_base_has():
    names = dependencies._platforms()
    assert names[0].startswith("manylinux_2_36_")
    assert not any("2_37" in name or "musl" in name for name in names)
