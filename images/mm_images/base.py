"""The base layer: Debian and Python 3.11, less what a container of ours never runs."""

import os
import shutil
import subprocess
from pathlib import Path

from mm_cluster import debian, engine
from mm_cluster.failure import Failure
from mm_cluster.fingerprint import fingerprint
from mm_cluster.image_archive import Layer, read_layer, write_layer
from mm_cluster.places import replacing, work_folder
from mm_cluster.prerequisites import find_program
from mm_cluster.process import finished, run_step, spawn
from mm_cluster.progress import say, step
from mm_images.facts import facts
from mm_images.layer_store import stored_layer

# State that Debian's scripts leave, some of it different each time.
_LEFTOVERS = (
    "var/log/*", "tmp/*", "run/*", "etc/.pwd.lock", "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-",
    "etc/machine-id", "etc/hostname", "etc/resolv.conf",
)  # fmt: skip

# Packaging tools, documentation and build tools of Python that no command of ours imports.
_UNUSED_PYTHON = ("lib2to3", "ensurepip", "idlelib", "tkinter", "turtledemo", "test", "pydoc_data", "distutils")
_UNUSED_FOLDERS = (
    "usr/lib/*/perl-base", "usr/share/perl*", "usr/share/python-wheels", "usr/share/zoneinfo/right", "usr/lib/*/gconv",
    "usr/lib/apt", "etc/apt", "var/lib/apt", "var/cache/apt", "var/lib/dpkg/info", "var/lib/dpkg/*-old", "usr/lib/dpkg",
    "usr/share/dpkg", "usr/share/debconf", "var/cache/debconf", "usr/lib/systemd", "lib/systemd", "usr/lib/udev",
    "etc/systemd", "usr/share/bash-completion", "usr/share/gcc", "usr/share/gdb", "usr/share/pixmaps",
    "usr/share/polkit-1", "usr/share/doc-base", "usr/share/menu", "usr/share/applications", "usr/share/util-linux",
    "var/cache/ldconfig", "usr/share/keyrings", "etc/dpkg", "etc/cron.*", "etc/init.d", "etc/rc*.d",
)  # fmt: skip
_UNUSED_PROGRAMS = (
    "perl*", "dpkg*", "apt*", "debconf*", "dselect", "update-alternatives", "deb-systemd*", "tune2fs", "e2*", "mke2fs",
    "mkfs*", "fsck*", "resize2fs", "debugfs", "dumpe2fs", "badblocks", "fdisk", "sfdisk", "cfdisk", "swap*", "losetup",
    "mkswap", "useradd", "userdel", "usermod", "group*", "passwd", "chpasswd", "gpasswd", "newgrp", "su", "chfn",
    "chsh", "chage", "expiry", "mount", "umount", "getty", "agetty", "sulogin", "login", "runuser", "bashbug", "x86_64",
    "i386", "linux32", "linux64", "setarch", "pdb3*", "pydoc3*", "py3compile", "py3clean", "py3versions", "pygettext3*",
)  # fmt: skip


def _can_use_debian() -> bool:
    return os.geteuid() == 0 and (find_program("mmdebstrap") is not None or find_program("apt-get") is not None)


def base_layer() -> Layer:
    """The base layer, from Debian packages; where this machine cannot, from the registry's image by docker."""
    if _can_use_debian():
        tree = debian.root_file_system("python", packages=facts().base_packages, customize="true")
        key = fingerprint([Path(__file__)], also=[tree.stem, str(facts().user)])
        return stored_layer("base", key, lambda path: _from_debian(tree, path))
    key = fingerprint([], also=[facts().base_registry_image])
    return stored_layer("base", key, _from_registry)


def _from_debian(tree: Path, target: Path) -> Layer:
    with work_folder("base") as scratch:
        root = scratch / "root"
        root.mkdir()
        run_step("unpacking the base", ["tar", "-C", str(root), "-xf", str(tree), "--exclude=./dev/*"])
        with step("trimming the base"):
            _trim(root)
            _add_user(root)
        _compile(root)
        with step("writing the base layer"):
            return write_layer(target, [(root, "")])


def _trim(root: Path) -> None:
    programs = [f"usr/{folder}/{name}" for folder in ("bin", "sbin") for name in _UNUSED_PROGRAMS]
    modules = [f"usr/lib/python3*/{name}" for name in _UNUSED_PYTHON]
    for pattern in [*programs, *modules, *_UNUSED_FOLDERS, *_LEFTOVERS]:
        for path in list(root.glob(pattern)):
            _remove(path)
    for path in list(root.rglob("__pycache__")):
        shutil.rmtree(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _add_user(root: Path) -> None:
    """A name for the user that every process of ours runs as, and its log folder (a pod mounts over it)."""
    user = facts().user
    with (root / "etc/passwd").open("a") as passwd:
        passwd.write(f"market-maker:x:{user}:{user}::/tmp:/usr/sbin/nologin\n")
    with (root / "etc/group").open("a") as group:
        group.write(f"market-maker:x:{user}:\n")
    logs = root / "var/log/market-maker"
    logs.mkdir(parents=True, exist_ok=True)
    os.chown(logs, user, user)


def _compile(root: Path) -> None:
    """Byte code that is never checked against its source: on a read-only root it could not be renewed anyway."""
    argv = ["chroot", str(root), "/usr/bin/python3", "-m", "compileall", "-q", "-j", "1"]
    argv += ["--invalidation-mode", "unchecked-hash", "/usr/lib/python3.11", "/usr/lib/python3"]
    run_step("byte code of the base", argv, env={"PYTHONHASHSEED": "0"})


def _from_registry(path: Path) -> Layer:
    """Flatten the digest-pinned image into one layer: `docker create`, `docker export`."""
    image = facts().base_registry_image
    found = engine.find_running()
    if found is None:
        raise Failure("Building images here needs either root on Debian (mmdebstrap) or a running Docker.")
    say(f"base image: {image}")
    found.docker("pull", "--quiet", image, timeout_seconds=600)
    container = found.docker("create", image)
    try:
        with step("exporting the base image"), replacing(path) as draft, draft.open("wb") as output:
            argv = ["docker", "export", container]
            child = spawn(argv, stdout=output, stderr=subprocess.DEVNULL, env=found.environment)
            if finished(child) != 0:
                raise Failure(f"docker export of {image} failed")
    finally:
        found.docker("rm", container)
    return read_layer(path)
