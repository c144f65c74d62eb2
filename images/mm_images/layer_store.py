"""Layers in the cache folder, by what they are made from; each is made once and kept while it is recent."""

from collections.abc import Callable
from pathlib import Path

from mm_cluster.image_archive import Layer
from mm_cluster.places import cache_subfolder, replacing

_KEPT_PER_KIND = 4


def stored_layer(kind: str, key: str, make: Callable[[Path], Layer]) -> Layer:
    """The layer of a kind with a key; `make(path)` writes it where it is absent."""
    folder = cache_subfolder("images", "layers")
    path, digest_file = folder / f"{kind}-{key}.tar", folder / f"{kind}-{key}.sha256"
    if not (path.exists() and digest_file.exists()):
        layer = make(path)
        with replacing(digest_file) as draft:
            draft.write_text(layer.sha256)
        _forget_old(folder, kind)
    else:
        path.touch()
    return Layer(path, digest_file.read_text(), path.stat().st_size)


def _forget_old(folder: Path, kind: str) -> None:
    newest_first = sorted(folder.glob(f"{kind}-*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest_first[_KEPT_PER_KIND:]:
        path.with_suffix(".sha256").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
