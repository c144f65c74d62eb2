"""The code layer: reproducible, complete, and ready for a read-only root."""

import importlib.metadata
import subprocess
import tarfile
from dataclasses import replace

import pytest

from mm_images.build import build_image, content_reference, write_archive
from mm_images.code import code_layer, stage_code, tape_layer
from mm_images.facts import facts
from mm_images.python_311 import python_311


@pytest.fixture
def image(tmp_path):
    """A small image of the operator's shape."""
    package = tmp_path / "src" / "mm_small"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "cli.py").write_text(
        "import sys\nfrom importlib.metadata import version\n\n\n"
        "def main():\n    print(sys.argv[1:], version('market-maker-operator'), __cached__)\n    return 3\n"
    )
    (package / "table.json").write_text("{}")
    return replace(facts().images["operator"], packages=(package,), commands={"mm-small": "mm_small.cli:main"})


def names_in(layer) -> list[str]:
    with tarfile.open(layer.path) as archive:
        return archive.getnames()


def test_two_machines_make_the_same_layer(image, monkeypatch, tmp_path):
    first = code_layer(image)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    second = code_layer(image)
    assert first.path != second.path
    assert first.sha256 == second.sha256


def test_a_changed_line_makes_another_layer(image):
    before = code_layer(image)
    (image.packages[0] / "cli.py").write_text("def main():\n    return 0\n")
    assert code_layer(image).sha256 != before.sha256


def test_the_layer_holds_sources_byte_code_and_commands_owned_by_root(image):
    layer = code_layer(image)
    home = facts().home.lstrip("/")
    assert {
        f"{home}/bin/mm-small",
        f"{home}/code/mm_small/cli.py",
        f"{home}/code/mm_small/__pycache__/cli.cpython-311.pyc",
        f"{home}/code/mm_small/table.json",
    } <= set(names_in(layer))
    with tarfile.open(layer.path) as archive:
        assert {(entry.uid, entry.gid) for entry in archive} == {(0, 0)}
        assert archive.getmember(f"{home}/bin/mm-small").mode == 0o755
        assert archive.getmember(f"{home}/code/mm_small/cli.py").mode == 0o644


def test_a_command_runs_from_the_staged_tree_and_knows_its_version(image, tmp_path):
    stage_code(image, tmp_path / "home")
    done = subprocess.run(
        [python_311(), tmp_path / "home/bin/mm-small", "run"],
        env={"PYTHONPATH": str(tmp_path / "home/code")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith(f"['run'] {facts().version} ")
    (metadata,) = importlib.metadata.distributions(path=[str(tmp_path / "home/code")])
    assert metadata.version == facts().version


def test_byte_code_is_never_checked_against_its_source(image, tmp_path):
    stage_code(image, tmp_path / "home")
    (compiled,) = (tmp_path / "home/code/mm_small/__pycache__").glob("cli.*.pyc")
    assert compiled.read_bytes()[4:8] == b"\x01\x00\x00\x00"  # PEP 552: hash-based, unchecked


@pytest.fixture
def light_image(image, monkeypatch, tmp_path):
    """Base and dependencies stand-ins: what is tested is how layers are put together."""
    (tmp_path / "base").write_text("base")
    layer = tape_layer(tmp_path / "base")
    monkeypatch.setattr("mm_images.build.base_layer", lambda: layer)
    monkeypatch.setattr("mm_images.build.dependencies_layer", lambda _image: layer)
    return image


def test_an_image_runs_its_command_as_nobody_under_two_names(light_image):
    built = build_image(light_image)
    assert built.names[0] == "docker.io/market-maker/operator:dev"
    assert built.names[1] == f"docker.io/{content_reference(light_image, built)}"
    assert built.config["User"] == "65532"
    assert built.config["Entrypoint"] == ["/opt/market-maker/bin/mm-operator"]
    assert "PYTHONUNBUFFERED=1" in built.config["Env"]


def test_only_a_change_of_content_changes_the_reference(light_image):
    before = content_reference(light_image, build_image(light_image))
    assert content_reference(light_image, build_image(light_image)) == before
    (light_image.packages[0] / "cli.py").write_text("def main():\n    return 0\n")
    assert content_reference(light_image, build_image(light_image)) != before


def test_a_tape_is_carried_where_there_is_one(light_image, monkeypatch, tmp_path):
    (tmp_path / "day.gz").write_bytes(b"tape")
    monkeypatch.setenv("MM_TAPE", str(tmp_path / "day.gz"))
    built = build_image(replace(light_image, carries_tape=True))
    assert "MM_TAPE=/tapes/day.gz" in built.config["Env"]
    assert "tapes/day.gz" in [name for layer in built.layers for name in names_in(layer)]
    assert not any(entry.startswith("MM_TAPE=") for entry in build_image(light_image).config["Env"])


def test_an_archive_replaces_the_one_of_an_older_content(light_image):
    first = write_archive(light_image, build_image(light_image))
    assert write_archive(light_image, build_image(light_image)) == first
    (light_image.packages[0] / "cli.py").write_text("def main():\n    return 0\n")
    second = write_archive(light_image, build_image(light_image))
    assert second.exists()
    assert not first.exists()
