"""Layers and archives: the same tree gives the same bytes, and every reader finds what it needs."""

import hashlib
import io
import json
import os
import tarfile

import pytest

from mm_cluster.image_archive import (
    Image,
    owned_by_root,
    stream_docker_archive,
    stream_oci_archive,
    write_layer,
    write_oci_archive,
)


def make_tree(folder, *, order=("b", "a")):
    folder.mkdir(parents=True)
    for name in order:
        (folder / name).write_text(f"content of {name}")
    (folder / "a").chmod(0o700)
    (folder / "sub").mkdir()
    (folder / "sub" / "link").symlink_to("../a")
    os.link(folder / "b", folder / "sub" / "twin")
    return folder


@pytest.fixture
def layer(tmp_path):
    return write_layer(tmp_path / "layer.tar", [(make_tree(tmp_path / "tree"), "opt/x")])


def blobs_of(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isreg()}


def oci_archive(images, known=frozenset()) -> dict[str, bytes]:
    output = io.BytesIO()
    stream_oci_archive(output, images, known=known)
    return blobs_of(output.getvalue())


def test_the_same_tree_gives_the_same_layer_wherever_and_whenever_it_was_made(tmp_path):
    first = make_tree(tmp_path / "here" / "tree")
    second = make_tree(tmp_path / "elsewhere" / "deeper" / "tree", order=("a", "b"))
    os.utime(second / "a", (1, 1))
    layers = [write_layer(tmp_path / f"{n}.tar", [(tree, "opt")]) for n, tree in enumerate((first, second))]
    assert layers[0].sha256 == layers[1].sha256
    assert layers[0].path.read_bytes() == layers[1].path.read_bytes()


@pytest.mark.parametrize("change", ["content", "mode", "name"])
def test_a_changed_tree_gives_another_layer(tmp_path, layer, change):
    tree = tmp_path / "tree"
    match change:
        case "content":
            (tree / "a").write_text("other")
        case "mode":
            (tree / "a").chmod(0o755)
        case "name":
            (tree / "a").rename(tree / "c")
    assert write_layer(tmp_path / "other.tar", [(tree, "opt/x")]).sha256 != layer.sha256


def test_a_layer_keeps_links_and_modes_and_states_its_own_digest(layer):
    assert layer.sha256 == hashlib.sha256(layer.path.read_bytes()).hexdigest()
    assert layer.size == layer.path.stat().st_size
    with tarfile.open(layer.path) as tar:
        assert tar.getnames() == ["opt/x", "opt/x/a", "opt/x/b", "opt/x/sub", "opt/x/sub/link", "opt/x/sub/twin"]
        assert tar.getmember("opt/x/a").mode == 0o700
        assert tar.getmember("opt/x/sub/link").linkname == "../a"
        assert tar.getmember("opt/x/sub/twin").linkname == "opt/x/b"
        assert {member.mtime for member in tar} == {0}


def test_an_empty_name_puts_the_tree_at_the_root(tmp_path):
    layer = write_layer(tmp_path / "layer.tar", [(make_tree(tmp_path / "tree"), "")])
    with tarfile.open(layer.path) as tar:
        assert tar.getnames() == ["a", "b", "sub", "sub/link", "sub/twin"]


def test_owned_by_root_levels_what_a_checkout_happens_to_have(tmp_path):
    tree = make_tree(tmp_path / "tree")
    first = write_layer(tmp_path / "1.tar", [(tree, "x")], entry_filter=owned_by_root)
    (tree / "b").chmod(0o664)
    (tree / "a").chmod(0o775)
    assert write_layer(tmp_path / "2.tar", [(tree, "x")], entry_filter=owned_by_root).sha256 == first.sha256
    with tarfile.open(first.path) as tar:
        assert {(member.uid, member.gid, member.uname) for member in tar} == {(0, 0, "")}


def test_an_interrupted_layer_leaves_nothing_behind(tmp_path):
    def stop(_entry):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_layer(tmp_path / "out" / "layer.tar", [(make_tree(tmp_path / "tree"), "x")], entry_filter=stop)
    assert list((tmp_path / "out").iterdir()) == []


def test_every_name_in_the_index_leads_to_its_configuration_and_layers(layer):
    image = Image(("docker.io/x/y:1", "docker.io/x/y:2"), (layer,), {"User": "7"})
    blobs = oci_archive([image])
    for name, content in blobs.items():
        if name.startswith("blobs/sha256/"):
            assert name.rpartition("/")[2] == hashlib.sha256(content).hexdigest()
    entries = json.loads(blobs["index.json"])["manifests"]
    assert [entry["annotations"]["io.containerd.image.name"] for entry in entries] == list(image.names)
    manifest = json.loads(blobs["blobs/sha256/" + entries[0]["digest"].removeprefix("sha256:")])
    config = json.loads(blobs["blobs/sha256/" + manifest["config"]["digest"].removeprefix("sha256:")])
    assert config["config"] == {"User": "7"}
    assert config["rootfs"]["diff_ids"] == [f"sha256:{layer.sha256}"]
    assert "blobs/sha256/" + manifest["layers"][0]["digest"].removeprefix("sha256:") in blobs


def test_layers_that_the_receiver_has_are_left_out(tmp_path, layer):
    (tmp_path / "top").write_text("code")
    top = write_layer(tmp_path / "top.tar", [(tmp_path / "top", "code")])
    image = Image(("docker.io/x/y:1",), (layer, top))
    thin = oci_archive([image], known=frozenset({layer.sha256}))
    assert f"blobs/sha256/{top.sha256}" in thin
    assert f"blobs/sha256/{layer.sha256}" not in thin


def test_images_that_share_a_layer_carry_it_once(layer):
    images = [Image((f"docker.io/x/{name}:1",), (layer,), {"Entrypoint": [name]}) for name in "ab"]
    output = io.BytesIO()
    stream_oci_archive(output, images)
    with tarfile.open(fileobj=io.BytesIO(output.getvalue())) as tar:
        assert tar.getnames().count(f"blobs/sha256/{layer.sha256}") == 1


def test_archives_of_the_same_image_are_identical(tmp_path, layer):
    for name in ("1", "2"):
        write_oci_archive(tmp_path / name, [Image(("docker.io/x/y:1",), (layer,), {"User": "7"})])
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_an_image_is_known_by_its_content_not_by_its_names(layer):
    image = Image(("docker.io/x/y:1",), (layer,), {"User": "7"})
    assert Image((), (layer,), {"User": "7"}).short_id() == image.short_id()
    assert Image((), (layer,), {"User": "8"}).short_id() != image.short_id()


def test_the_docker_archive_lists_configuration_names_and_layers(layer):
    output = io.BytesIO()
    stream_docker_archive(output, Image(("x:1",), (layer,), {"StopSignal": "SIGRTMIN+3"}))
    blobs = blobs_of(output.getvalue())
    (entry,) = json.loads(blobs["manifest.json"])
    assert entry["RepoTags"] == ["x:1"]
    assert json.loads(blobs[entry["Config"]])["config"]["StopSignal"] == "SIGRTMIN+3"
    assert hashlib.sha256(blobs[entry["Layers"][0]]).hexdigest() == layer.sha256
