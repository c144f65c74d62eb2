"""The facts of the images hold in the builder, in the Dockerfiles and in pyproject.toml."""

import re

import pytest

from mm_cluster.failure import Failure
from mm_cluster.places import PROJECT
from mm_images.facts import facts, selected, tape

IMAGES = ("operator", "runner", "exchange")


def dockerfile(name: str) -> str:
    return (PROJECT / "images" / f"Dockerfile.{name}").read_text()


@pytest.mark.parametrize("name", IMAGES)
def test_a_dockerfile_states_what_the_builder_does(name):
    image, text = facts().images[name], dockerfile(name)
    lock = image.lock.relative_to(PROJECT)
    assert f"ARG BASE={facts().base_registry_image}\n" in text
    assert f"COPY {lock} {lock}\n" in text
    assert f"USER {facts().user}:{facts().user}\n" in text
    assert f'ENTRYPOINT ["{facts().home}/bin/{image.entrypoint}"]\n' in text
    assert dict(re.findall(r"^ENV (\w+)=(.*)$", text, re.MULTILINE)) == facts().environment


@pytest.mark.parametrize("name", IMAGES)
def test_a_dockerfile_copies_the_packages_of_its_image_and_no_other(name):
    packages = {str(folder.relative_to(PROJECT)) for folder in facts().images[name].packages}
    copied = set(re.findall(r"^COPY (\w+/mm_\w+) \1$", dockerfile(name), re.MULTILINE))
    assert copied - {"cluster/mm_cluster"} == packages


def test_there_is_a_dockerfile_for_each_image():
    assert set(facts().images) == set(IMAGES)
    assert {path.suffix[1:] for path in (PROJECT / "images").glob("Dockerfile.*")} == set(IMAGES)


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_holds_what_exists_and_starts_one_of_its_commands(name):
    image = facts().images[name]
    assert all(folder.is_dir() for folder in image.packages)
    assert image.lock.is_file()
    assert image.entrypoint in image.commands
    assert facts().home in facts().environment["PATH"]


def test_the_bases_are_pinned_and_nobody_is_root():
    assert re.fullmatch(r"python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", facts().base_registry_image)
    assert facts().user >= 10000


def test_an_unknown_image_is_refused_by_name():
    with pytest.raises(Failure, match="no such image: runer; there are exchange, operator, runner"):
        selected(["runer"])


def test_all_images_are_meant_where_none_is_named():
    assert [image.name for image in selected([])] == list(IMAGES)
    assert [image.name for image in selected(["runner"])] == ["runner"]


def test_a_named_tape_is_taken_and_a_missing_one_refused(monkeypatch, tmp_path):
    (tmp_path / "tape.gz").write_bytes(b"tape")
    monkeypatch.setenv("MM_TAPE", str(tmp_path / "tape.gz"))
    assert tape() == tmp_path / "tape.gz"
    monkeypatch.setenv("MM_TAPE", str(tmp_path / "none.gz"))
    with pytest.raises(Failure, match=r"none\.gz is no file"):
        tape()
