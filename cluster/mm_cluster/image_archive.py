"""Container images as plain files, without a daemon: layers, OCI archives and docker archives.

Reproducible: the same tree gives the same bytes. Entries are sorted, times are fixed, owners are names of
nobody. Formats: OCI image-spec 1.0 (`ctr images import`) and docker's own archive (`docker load`).
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mm_cluster.places import replacing

_OCI = "application/vnd.oci.image"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CHUNK = 1 << 20

EntryFilter = Callable[[tarfile.TarInfo], tarfile.TarInfo | None]


@dataclass(frozen=True)
class Layer:
    """An uncompressed layer tar: its diff id is its digest."""

    path: Path
    sha256: str
    size: int


@dataclass(frozen=True)
class Image:
    """Names (fully qualified), layers from the bottom up, and the `config` object of the image."""

    names: tuple[str, ...]
    layers: tuple[Layer, ...]
    config: Mapping[str, Any] = field(default_factory=dict)

    def config_blob(self) -> bytes:
        """The configuration document; its digest is the image's id in docker and containerd."""
        document = {
            "architecture": architecture(),
            "os": "linux",
            "config": dict(self.config),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.sha256}" for layer in self.layers]},
        }
        return _json(document)

    def short_id(self) -> str:
        """Twelve hex digits of the configuration's digest: a name for exactly this content."""
        return _sha256(self.config_blob())[:12]

    def manifest_sha256(self) -> str:
        """The digest under which a registry or a node lists the image."""
        return _sha256(_manifest(self))


def architecture() -> str:
    """This machine's architecture as image specifications name it."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _sha256(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def read_layer(path: Path) -> Layer:
    """Describe a layer tar that exists."""
    with path.open("rb") as file:
        return Layer(path, hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Entry filter for trees whose owners mean nothing (a checkout, an unpacked wheel)."""
    entry.uid = entry.gid = 0
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def _fixed(entry: tarfile.TarInfo, entry_filter: EntryFilter | None) -> tarfile.TarInfo | None:
    entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry_filter(entry) if entry_filter else entry


def _add_tree(archive: tarfile.TarFile, source: Path, *, name: str, entry_filter: EntryFilter | None) -> None:
    """Add a file or folder and everything below it in sorted order; sockets are left out."""
    entry = archive.gettarinfo(str(source), arcname=name) if name else None
    if entry is not None:
        fixed = _fixed(entry, entry_filter)
        if fixed is None:
            return
        if fixed.isreg():
            with source.open("rb") as content:
                archive.addfile(fixed, content)
        else:
            archive.addfile(fixed)
    if source.is_dir() and not source.is_symlink():
        for child in sorted(source.iterdir()):
            inner = f"{name}/{child.name}" if name else child.name
            if not child.is_socket():
                _add_tree(archive, child, name=inner, entry_filter=entry_filter)


def write_layer(
    target: Path,
    trees: Iterable[tuple[Path, str]],
    *,
    entry_filter: EntryFilter | None = None,
) -> Layer:
    """Write a layer from (source, path in the image) pairs; `""` is the image's root."""
    with replacing(target) as draft:
        with tarfile.open(draft, "w", format=tarfile.GNU_FORMAT) as archive:
            for source, name in trees:
                _add_tree(archive, source, name=name.strip("/"), entry_filter=entry_filter)
        layer = read_layer(draft)
    return Layer(target, layer.sha256, layer.size)


def _put(archive: tarfile.TarFile, name: str, blob: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(blob)
    archive.addfile(entry, io.BytesIO(blob))


def _put_file(archive: tarfile.TarFile, name: str, layer: Layer) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = layer.size
    with layer.path.open("rb") as file:
        archive.addfile(entry, file)


def _descriptor(kind: str, blob_sha256: str, size: int) -> dict[str, Any]:
    return {"mediaType": f"{_OCI}.{kind}", "digest": f"sha256:{blob_sha256}", "size": size}


def _manifest(image: Image) -> bytes:
    config = image.config_blob()
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": _descriptor("config.v1+json", _sha256(config), len(config)),
            "layers": [_descriptor("layer.v1.tar", layer.sha256, layer.size) for layer in image.layers],
        }
    )


def _index(images: Sequence[Image]) -> bytes:
    entries = []
    for image in images:
        manifest = _manifest(image)
        for name in image.names:
            entry = _descriptor("manifest.v1+json", _sha256(manifest), len(manifest))
            annotations = {
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": name.rpartition(":")[2],
            }
            entries.append({**entry, "annotations": annotations})
    return _json({"schemaVersion": 2, "manifests": entries})


def stream_oci_archive(output: IO[bytes], images: Sequence[Image], *, known: frozenset[str] = frozenset()) -> None:
    """Write images as one OCI archive; layers whose digest is `known` to the receiver are left out."""
    layers = {layer.sha256: layer for image in images for layer in image.layers if layer.sha256 not in known}
    blobs = {_sha256(blob): blob for image in images for blob in (image.config_blob(), _manifest(image))}
    with tarfile.open(fileobj=output, mode="w|", format=tarfile.GNU_FORMAT, bufsize=_CHUNK) as archive:
        _put(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _put(archive, "index.json", _index(images))
        for digest, blob in sorted(blobs.items()):
            _put(archive, f"blobs/sha256/{digest}", blob)
        for digest, layer in sorted(layers.items()):
            _put_file(archive, f"blobs/sha256/{digest}", layer)


def write_oci_archive(target: Path, images: Sequence[Image]) -> None:
    """Write images as one complete OCI archive file."""
    with replacing(target) as draft, draft.open("wb") as output:
        stream_oci_archive(output, images)


def stream_docker_archive(output: IO[bytes], image: Image) -> None:
    """Write one image in docker's own format, which every `docker load` reads."""
    config = image.config_blob()
    config_name = f"{_sha256(config)}.json"
    layer_names = [f"{layer.sha256}/layer.tar" for layer in image.layers]
    contents = [{"Config": config_name, "RepoTags": list(image.names), "Layers": layer_names}]
    with tarfile.open(fileobj=output, mode="w|", format=tarfile.GNU_FORMAT, bufsize=_CHUNK) as archive:
        _put(archive, config_name, config)
        for layer, name in zip(image.layers, layer_names, strict=True):
            _put_file(archive, name, layer)
        _put(archive, "manifest.json", _json(contents))
