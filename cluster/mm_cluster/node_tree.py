"""The file system of a kind node: Debian's systemd, containerd, runc and CNI plugins, kind's own base files, hyper.

Follows kind's `images/base/Dockerfile`; what differs is said where it is done.
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from mm_cluster.debian import root_file_system
from mm_cluster.gotools import kind_base_files, program
from mm_cluster.pins import pins
from mm_cluster.places import CLUSTER
from mm_cluster.process import capture

_PACKAGES = (
    "systemd", "dbus", "conntrack", "iptables", "nftables", "iproute2", "ethtool", "util-linux", "mount", "kmod",
    "libseccomp2", "procps", "jq", "hostname", "containerd", "runc", "containernetworking-plugins",
)  # fmt: skip

# Shell, run by mmdebstrap outside the tree: binaries that nothing on a node calls.
_TRIM = (
    'cd "$1"; rm -f usr/bin/containerd-shim usr/bin/containerd-shim-runc-v1 usr/bin/containerd-stress; '
    "cd usr/lib/cni; for f in *; do case $f in ptp|host-local|portmap|loopback|bridge) ;; *) rm -f $f;; esac; done"
)

_FOLDERS = (
    "kind/bin", "kind/manifests", "etc/containerd", "etc/systemd/system/kubelet.service.d",
    "etc/systemd/system/multi-user.target.wants", "etc/cni/net.d", "etc/kubernetes/manifests", "opt/cni",
    "etc/sysctl.d", "etc/default", "usr/local/bin", "usr/local/sbin",
)  # fmt: skip

_UNITS = ("kubelet", "containerd", "undo-mount-hacks")

IMAGE_CONFIGURATION = {
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "container=docker"],
    "Entrypoint": ["/usr/local/bin/entrypoint", "/sbin/init"],
    "StopSignal": "SIGRTMIN+3",  # how systemd is asked to power off
}

# Units that a container has no use for.
_UNWANTED_UNITS = (
    "lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service",
    "lib/systemd/system/multi-user.target.wants/*",
    "lib/systemd/system/local-fs.target.wants/*",
    "lib/systemd/system/sockets.target.wants/*udev*",
    "lib/systemd/system/sockets.target.wants/*initctl*",
    "lib/systemd/system/basic.target.wants/*",
    "etc/systemd/system/*.wants/*",
)


def debian_tree() -> Path:
    """The node's Debian userland as a cached tar."""
    return root_file_system("node", packages=_PACKAGES, customize=_TRIM)


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _copy(source: Path, target: Path, *, mode: int = 0o644) -> None:
    for file in source.iterdir() if source.is_dir() else [source]:
        destination = target / file.name if target.is_dir() else target
        shutil.copyfile(file, destination)
        destination.chmod(mode)


def _copy_kind_files(root: Path, base: Path) -> None:
    _copy(base / "usr/local/bin/entrypoint", root / "usr/local/bin", mode=0o755)
    _copy(base / "kind/bin", root / "kind/bin", mode=0o755)
    _copy(base / "etc/crictl.yaml", root / "etc")
    _copy(base / "etc/default/kubelet", root / "etc/default")
    _copy(base / "etc/sysctl.d", root / "etc/sysctl.d")
    units = root / "etc/systemd/system"
    for unit in _UNITS:
        _copy(base / f"etc/systemd/system/{unit}.service", units)
    _copy(base / "etc/systemd/system/kubelet.slice", units)
    _copy(base / "etc/systemd/system/kubelet.service.d", units / "kubelet.service.d")


def _without_table(lines: Iterable[str], prefix: str) -> list[str]:
    """A TOML text's lines less the tables whose header begins with `prefix`."""
    kept, inside = [], False
    for line in lines:
        if line.lstrip().startswith("["):
            inside = line.lstrip().startswith(prefix)
        if not inside:
            kept.append(line)
    return kept


def containerd_configuration(kind_configuration: str) -> str:
    """Kind's containerd configuration, less the fuse-overlayfs plug-in (rootless only).

    `restrict_oom_score_adj`: a machine without CAP_SYS_RESOURCE may not lower a pod's score.
    """
    lines = _without_table(kind_configuration.splitlines(), "[proxy_plugins")
    text = "\n".join(lines) + "\n"
    return text.replace("restrict_oom_score_adj = false", "restrict_oom_score_adj = true")


def _default_pod_spec(root: Path) -> None:
    """Containerd's default OCI spec with kind's hook; no rlimits, which would need CAP_SYS_RESOURCE."""
    spec = json.loads(capture(["chroot", str(root), "ctr", "oci", "spec"]))
    hooks = spec.setdefault("hooks", {}).setdefault("createContainer", [])
    hooks.append({"path": "/kind/bin/mount-product-files.sh"})
    spec["process"].pop("rlimits", None)
    (root / "etc/containerd/cri-base.json").write_text(json.dumps(spec))


def _set_up_systemd(root: Path) -> None:
    for pattern in _UNWANTED_UNITS:
        for unwanted in root.glob(pattern):
            unwanted.unlink()
    with (root / "etc/systemd/journald.conf").open("a") as journald:
        journald.write("ReadKMsg=no\n")
    _link(root / "sbin/init", "/usr/lib/systemd/systemd")
    wants = root / "etc/systemd/system/multi-user.target.wants"
    for unit in _UNITS:
        _link(wants / f"{unit}.service", f"/etc/systemd/system/{unit}.service")
    _link(root / "etc/systemd/system/systemd-binfmt.service", "/dev/null")


def _debian_paths_to_kind_paths(root: Path) -> None:
    for name in ("containerd", "ctr", "containerd-shim-runc-v2"):
        _link(root / "usr/local/bin" / name, f"/usr/bin/{name}")
    _link(root / "usr/local/sbin/runc", "/usr/sbin/runc")
    shutil.rmtree(root / "opt/cni/bin", ignore_errors=True)
    _link(root / "opt/cni/bin", "/usr/lib/cni")


def _add_kubernetes(root: Path) -> None:
    shutil.copy(program("hyper"), root / "usr/bin/hyper")
    for name in ("kubelet", "kubeadm", "kubectl"):
        _link(root / "usr/bin" / name, "hyper")
    _link(root / "usr/local/bin/crictl", "/usr/bin/hyper")
    (root / "kind/version").write_text(pins().kubernetes)
    _copy(CLUSTER / "node/podnet.yaml", root / "kind/manifests/default-cni.yaml")
    _copy(CLUSTER / "node/storage.yaml", root / "kind/manifests/default-storage.yaml")


def assemble(root: Path) -> None:
    """Turn an unpacked `debian_tree` into a kind node, all but its preloaded images."""
    base = kind_base_files()
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    _copy_kind_files(root, base)
    kind_configuration = (base / "etc/containerd/config.toml").read_text()
    (root / "etc/containerd/config.toml").write_text(containerd_configuration(kind_configuration))
    _set_up_systemd(root)
    _debian_paths_to_kind_paths(root)
    _default_pod_spec(root)
    _add_kubernetes(root)
