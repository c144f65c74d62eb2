"""How kind's own files are changed for a node made of Debian packages."""

import tomllib

from mm_cluster.node_tree import containerd_configuration

KIND = """\
version = 2

[proxy_plugins]
# rootless only
[proxy_plugins."fuse-overlayfs"]
  type = "snapshot"

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10"
  restrict_oom_score_adj = false
"""


def test_only_the_rootless_plugin_and_the_oom_score_change():
    before, after = tomllib.loads(KIND), tomllib.loads(containerd_configuration(KIND))
    del before["proxy_plugins"]
    before["plugins"]["io.containerd.grpc.v1.cri"]["restrict_oom_score_adj"] = True
    assert after == before
