"""Layers are made once, and old ones do not fill the disk."""

import os

from mm_cluster.image_archive import write_layer
from mm_images.layer_store import stored_layer


def maker(tmp_path, made):
    def make(path):
        made.append(path.name)
        (tmp_path / "file").write_text(path.name)
        return write_layer(path, [(tmp_path / "file", "file")])

    return make


def test_a_layer_is_made_once_per_key(tmp_path):
    made = []
    first = stored_layer("code", "aaa", maker(tmp_path, made))
    assert stored_layer("code", "aaa", maker(tmp_path, made)) == first
    assert stored_layer("code", "bbb", maker(tmp_path, made)) != first
    assert made == ["code-aaa.tar", "code-bbb.tar"]


def test_the_oldest_of_a_kind_are_forgotten_and_other_kinds_stay(tmp_path):
    other = stored_layer("codec", "x", maker(tmp_path, []))
    layers = []
    for number in range(7):
        layers.append(stored_layer("code", f"{number}", maker(tmp_path, [])))
        os.utime(layers[-1].path, (number, number))
    assert [layer.path.exists() for layer in layers] == [False] * 3 + [True] * 4
    assert other.path.exists()


def test_a_half_written_layer_is_made_again(tmp_path):
    made = []
    layer = stored_layer("code", "aaa", maker(tmp_path, made))
    layer.path.with_suffix(".sha256").unlink()
    assert stored_layer("code", "aaa", maker(tmp_path, made)) == layer
    assert len(made) == 2
