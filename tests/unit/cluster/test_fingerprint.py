"""A changed input rebuilds, and nothing else does."""

import shutil

import pytest

from mm_cluster.fingerprint import fingerprint


@pytest.fixture
def folder(tmp_path):
    tree = tmp_path / "hyper"
    (tree / "pause").mkdir(parents=True)
    (tree / "main.go").write_text("package main")
    (tree / "pause" / "main.go").write_text("package main // pause")
    return tree


def test_two_checkouts_share_a_key(tmp_path, folder):
    other = shutil.copytree(folder, tmp_path / "elsewhere" / "hyper")
    assert fingerprint([folder]) == fingerprint([other])


def test_byte_code_does_not_count(folder):
    before = fingerprint([folder])
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert fingerprint([folder]) == before


@pytest.mark.parametrize("change", ["content", "name", "new", "word"])
def test_every_input_counts(folder, change):
    before, words = fingerprint([folder]), []
    match change:
        case "content":
            (folder / "pause" / "main.go").write_text("package main // other")
        case "name":
            (folder / "main.go").rename(folder / "hyper.go")
        case "new":
            (folder / "empty").touch()
        case "word":
            words = ["v1.34.5"]
    assert fingerprint([folder], also=words) != before


def test_words_do_not_run_into_each_other():
    assert fingerprint([], also=["ab", "c"]) != fingerprint([], also=["a", "bc"])
