"""Debian file systems made by mmdebstrap: the userland of the nodes and of the images."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from mm_cluster.failure import Failure
from mm_cluster.fingerprint import fingerprint
from mm_cluster.pins import pins
from mm_cluster.places import cache_subfolder, replacing
from mm_cluster.prerequisites import require_programs
from mm_cluster.process import run_step

_UNREAD_FOLDERS = ("doc", "man", "locale", "info", "bash-completion", "lintian", "common-licenses")
_LEFTOVERS = 'rm -rf "$1"/var/cache/apt/* "$1"/var/cache/debconf/* "$1"/var/lib/apt/lists/* "$1"/var/log/*'
# Times inside the tree: fixed, so that the same packages give the same bytes.
_SOURCE_DATE_EPOCH = "1767225600"  # 2026-01-01


def _options(packages: Sequence[str], customize: str) -> list[str]:
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in _UNREAD_FOLDERS]
    return [
        "--mode=root",
        "--variant=essential",
        # usr-is-merged alone still pulls usrmerge and perl (50 MB)
        "--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr",
        *excluded,
        f"--include={','.join(['usr-is-merged', *packages])}",
        f"--customize-hook={customize}",
        f"--customize-hook={_LEFTOVERS}",
    ]


def _mirrors(suite: str) -> list[str]:
    """This machine's own apt sources where they are for that suite and nothing else; else mmdebstrap's default."""
    folder = Path("/etc/apt")
    candidates = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("debian*.sources"))]
    usable = [str(path) for path in candidates if path.exists() and _is_only_for(path.read_text(), suite)]
    return usable[:1]


def _is_only_for(sources: str, suite: str) -> bool:
    lines = [line for line in sources.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    named = " ".join(line.partition(":")[2] for line in lines if line.startswith("Suites:"))
    named += " ".join(" ".join(line.split()[2:3]) for line in lines if line.startswith("deb "))
    return bool(named.split()) and all(re.fullmatch(rf"{suite}(-updates|-security)?", word) for word in named.split())


def root_file_system(name: str, *, packages: Sequence[str], customize: str) -> Path:
    """A tar of a minimal Debian with packages, from the cache where the same one was made before.

    Args:
        name: what the tree is for; part of the file's name.
        packages: Debian packages beside the essential ones.
        customize: shell commands run outside the tree, whose path is `$1`.
    """
    suite = pins().debian_suite
    options = _options(packages, customize)
    target = cache_subfolder("debian") / f"{name}-{fingerprint([], also=[suite, *options])}.tar"
    if target.exists():
        return target
    require_programs(["mmdebstrap", "chroot"], why="Building images without a registry")
    if os.geteuid() != 0:
        raise Failure("Building images without a registry needs root (file owners, chroot): run it with sudo.")
    with replacing(target) as draft:
        tar = draft.with_suffix(".tar")  # mmdebstrap tells the format by the suffix
        try:
            argv = ["mmdebstrap", *options, suite, str(tar), *_mirrors(suite)]
            run_step(f"Debian userland for {name}", argv, env={"SOURCE_DATE_EPOCH": _SOURCE_DATE_EPOCH})
            tar.replace(draft)
        finally:
            tar.unlink(missing_ok=True)
    return target
