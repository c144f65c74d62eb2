"""`pins.toml` and the Go modules state the same versions."""

import re

import pytest

from mm_cluster.pins import pins
from mm_cluster.places import CLUSTER


def required(folder: str, module: str) -> str:
    text = (CLUSTER / folder / "go.mod").read_text()
    return re.search(rf"{re.escape(module)} (v\S+)", text)[1]


@pytest.mark.parametrize(
    ("folder", "module", "version"),
    [
        ("hyper", "k8s.io/kubernetes", pins().kubernetes),
        ("hyper", "sigs.k8s.io/kind", pins().kind),
        ("hyper", "helm.sh/helm/v3", pins().helm),
        ("kubeconform", "github.com/yannh/kubeconform", pins().kubeconform),
    ],
)
def test_a_pinned_version_is_the_one_that_is_built(folder, module, version):
    assert required(folder, module) == version


def test_kubernetes_is_new_enough_for_the_cluster_that_is_promised():
    assert tuple(map(int, re.findall(r"\d+", pins().kubernetes)[:2])) >= (1, 33)


def test_the_published_node_image_is_pinned_by_digest():
    assert re.fullmatch(r"kindest/node:v[\d.]+@sha256:[0-9a-f]{64}", pins().kind_node_image)
