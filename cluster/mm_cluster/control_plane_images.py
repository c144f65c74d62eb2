"""The images that kubeadm asks for, without a registry: hyper under every control-plane name, and pause.

One layer holds hyper and the iptables, nft and conntrack that kube-proxy and podnet call; all names share it.
"""

import re
import shutil
from pathlib import Path

from mm_cluster.gotools import program
from mm_cluster.image_archive import Image, Layer, owned_by_root, write_layer
from mm_cluster.pins import pins
from mm_cluster.process import attempt

_REGISTRY = "registry.k8s.io"
_APPLETS = (
    "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd", "coredns", "podnet",
)  # fmt: skip
_NETWORK_PROGRAMS = ("usr/sbin/xtables-nft-multi", "usr/sbin/nft", "usr/sbin/conntrack")
_XTABLES_NAMES = ("iptables", "ip6tables")
_PATH = "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _libraries_of(root: Path, file: Path) -> set[str]:
    """Absolute paths, inside the tree, of the shared libraries that a file needs."""
    _, listing = attempt(["chroot", str(root), "ldd", f"/{file.relative_to(root)}"])
    return set(re.findall(r"(/\S+)", listing))


def _copy_network_programs(root: Path, target: Path) -> None:
    """Iptables (nft variant), nft, conntrack with everything they load.

    The xtables plug-ins' libraries count too: without libm, `libxt_statistic.so` fails to load and only Services
    with two or more endpoints break.
    """
    plugins = min(root.glob("usr/lib/*/xtables"))
    files = [root / name for name in _NETWORK_PROGRAMS]
    for file in files:
        shutil.copy(file, target / "usr/sbin" / file.name)
    libraries = target / "usr/lib" / plugins.parent.name
    shutil.copytree(plugins, libraries / "xtables", symlinks=True)
    needed: set[str] = set()
    for file in [*files, *plugins.glob("*.so")]:
        needed |= _libraries_of(root, file)
    for path in sorted(needed):
        loader = "/ld-linux" in path
        destination = target / path.strip("/") if loader else libraries / Path(path).name
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy((root / path.strip("/")).resolve(), destination)
    for name in _XTABLES_NAMES:
        for action in ("", "-save", "-restore"):
            (target / f"usr/sbin/{name}{action}").symlink_to("xtables-nft-multi")


def _hyper_layer(root: Path, scratch: Path) -> Layer:
    tree = scratch / "hyper-image"
    for folder in ("usr/sbin", "usr/lib", "lib64", "etc", "run", "usr/local/bin"):
        (tree / folder).mkdir(parents=True)
    (tree / "tmp").mkdir()
    (tree / "sbin").symlink_to("usr/sbin")
    (tree / "lib").symlink_to("usr/lib")
    _copy_network_programs(root, tree)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/:/\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    (tree / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    shutil.copy(program("hyper"), tree / "usr/local/bin/hyper")
    for name in _APPLETS:
        (tree / "usr/local/bin" / name).symlink_to("hyper")
    return write_layer(scratch / "hyper.tar", [(tree, "")], entry_filter=owned_by_root)


def control_plane_images(root: Path, scratch: Path) -> list[Image]:
    """Every image that a node must hold before its first pod; their layers are written to `scratch`."""
    tags = pins()
    hyper = (_hyper_layer(root, scratch),)
    pause = write_layer(scratch / "pause.tar", [(Path(program("pause")), "pause")], entry_filter=owned_by_root)
    by_command = [f"{_REGISTRY}/{name}:{tags.kubernetes}" for name in _APPLETS if name.startswith("kube-")]
    by_command += [f"{_REGISTRY}/etcd:{tags.etcd_tag}", "kind.local/podnet:v1"]
    # kubeadm's manifests name the command of each but coredns, which its image starts.
    coredns = {"Env": [_PATH], "Entrypoint": ["/usr/local/bin/coredns"]}
    return [
        Image(tuple(by_command), hyper, {"Env": [_PATH]}),
        Image((f"{_REGISTRY}/coredns/coredns:{tags.coredns_tag}",), hyper, coredns),
        Image((f"{_REGISTRY}/pause:{tags.pause_tag}",), (pause,), {"Entrypoint": ["/pause"]}),
    ]
