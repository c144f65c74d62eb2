"""The versions in `pins.toml`, typed."""

import tomllib
from dataclasses import dataclass
from functools import cache

from mm_cluster.places import CLUSTER


@dataclass(frozen=True)
class Pins:
    """Every version that decides what the cluster is made of."""

    kubernetes: str
    etcd_tag: str
    coredns_tag: str
    pause_tag: str
    kind: str
    kind_node_image: str
    helm: str
    kubeconform: str
    debian_suite: str


@cache
def pins() -> Pins:
    """Read `pins.toml` once."""
    with (CLUSTER / "pins.toml").open("rb") as file:
        table = tomllib.load(file)
    tags = table["kubernetes"]["image_tags"]
    return Pins(
        kubernetes=table["kubernetes"]["version"],
        etcd_tag=tags["etcd"],
        coredns_tag=tags["coredns"],
        pause_tag=tags["pause"],
        kind=table["kind"]["version"],
        kind_node_image=table["kind"]["node_image"],
        helm=table["helm"]["version"],
        kubeconform=table["kubeconform"]["version"],
        debian_suite=table["debian"]["suite"],
    )
