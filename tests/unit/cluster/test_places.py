"""The cache folder survives interruptions, and is the only place that is written to."""

import os

import pytest

from mm_cluster import places


def test_the_cache_is_where_xdg_says(cache_of_its_own):
    assert places.cache() == cache_of_its_own
    assert places.cache().is_dir()


def test_sockets_of_two_caches_do_not_meet(monkeypatch, tmp_path):
    first = places.run_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    second = places.run_folder()
    assert first != second
    assert len(str(first / "exec/containerd/containerd-debug.sock")) < 108


def test_what_a_killed_run_left_is_removed_and_a_running_one_is_let_be(cache_of_its_own):
    work = cache_of_its_own / "work"
    (work / "go-4999999").mkdir(parents=True)
    (work / f"go-{os.getppid()}").mkdir()
    with places.work_folder("mine") as scratch:
        assert scratch.is_dir()
        assert {path.name for path in work.iterdir()} == {scratch.name, f"go-{os.getppid()}"}
    assert not scratch.exists()


def write_half(target):
    with places.replacing(target) as draft:
        draft.write_text("half")
        raise KeyboardInterrupt


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "image.tar"
    with pytest.raises(KeyboardInterrupt):
        write_half(target)
    assert list(tmp_path.iterdir()) == []
    with places.replacing(target) as draft:
        draft.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
