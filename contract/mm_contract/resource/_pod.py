"""`spec.pod`: what a cluster's owner may want to say of the engine's pod.

The shapes below `affinity`, `tolerations` and `topologySpreadConstraints` are the Kubernetes API's own (core/v1), bounded; they are modelled
instead of passed through so that a misspelt field is refused when the resource is applied and not when the pod is made.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import ConfigDict, Field, model_validator

from mm_contract.resource._fields import CEL_KEY, Block, Format, Quantity, at_most, between, refusal, restart
from mm_contract.resource._selector import LabelSelector, LabelValue

ENV_NAME: Final = Format(
    pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
    message="must be the name of an environment variable; change it to letters, digits and underscores",
    max_length=128,
)
IMAGE: Final = Format(
    pattern=r"^([a-zA-Z0-9][-a-zA-Z0-9._/:@]*)?$",
    message="must be empty or an image reference; change it to one such as registry.example.com/mm-runner:1.2.3",
    max_length=512,
)
OBJECT_NAME: Final = Format(
    pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$",
    message="must be the name of an object: lower-case letters, digits, dashes and dots",
    max_length=253,
)
TopologyKey = Annotated[str, Field(description="Node label whose values are the domains.", min_length=1), at_most(317)]
LabelKeys = Annotated[
    tuple[Annotated[str, at_most(317)], ...], Field(description="Label keys taken from the pod itself."), at_most(16)
]
NodeValues = Annotated[
    tuple[Annotated[str, at_most(63)], ...], Field(description="Values to compare with."), at_most(50)
]


class TolerationOperator(StrEnum):
    """How a toleration compares."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does; empty tolerates all."""

    ANY = ""
    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class NodeOperator(StrEnum):
    """How a node requirement compares."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GT = "Gt"
    LT = "Lt"


class WhenUnsatisfiable(StrEnum):
    """What the scheduler does where the spread cannot be kept."""

    DO_NOT_SCHEDULE = "DoNotSchedule"
    SCHEDULE_ANYWAY = "ScheduleAnyway"


class InclusionPolicy(StrEnum):
    """Whether nodes are counted in the spread."""

    HONOR = "Honor"
    IGNORE = "Ignore"


_TOLERATION_MESSAGE: Final = (
    "operator must be Exists where key is empty, and value must be empty where operator is Exists; change one of them"
)


class Toleration(Block):
    """core/v1 Toleration."""

    model_config = ConfigDict(
        json_schema_extra={
            CEL_KEY: [
                {
                    "rule": "self.operator == 'Exists' ? self.value == '' : self.key != ''",
                    "message": _TOLERATION_MESSAGE,
                    "fieldPath": ".operator",
                }
            ]
        }
    )

    key: Annotated[str, Field(description="Taint key; empty with Exists tolerates every key."), at_most(317)] = ""
    operator: Annotated[TolerationOperator, Field(description="How the taint is compared.")] = TolerationOperator.EQUAL
    value: Annotated[str, Field(description="Taint value, for Equal."), at_most(63)] = ""
    effect: Annotated[TaintEffect, Field(description="Taint effect; empty tolerates every effect.")] = TaintEffect.ANY
    toleration_seconds: Annotated[
        int | None,
        Field(description="Seconds that a NoExecute taint is tolerated; absent: for ever."),
        between(0, 31_536_000),
    ] = None

    @model_validator(mode="after")
    def _operator_fits(self) -> Self:
        fits = self.value == "" if self.operator is TolerationOperator.EXISTS else self.key != ""
        if not fits:
            raise refusal(_TOLERATION_MESSAGE)
        return self


class NodeRequirement(Block):
    """core/v1 NodeSelectorRequirement."""

    key: Annotated[str, Field(description="Label or field of the node.", min_length=1), at_most(317)]
    operator: Annotated[NodeOperator, Field(description="How it is compared.")]
    values: NodeValues = ()


class NodeSelectorTerm(Block):
    """core/v1 NodeSelectorTerm."""

    match_expressions: Annotated[tuple[NodeRequirement, ...], Field(description="On labels."), at_most(16)] = ()
    match_fields: Annotated[tuple[NodeRequirement, ...], Field(description="On fields."), at_most(16)] = ()


class NodeSelector(Block):
    """core/v1 NodeSelector."""

    node_selector_terms: Annotated[
        tuple[NodeSelectorTerm, ...], Field(description="One of them must match.", min_length=1), at_most(16)
    ]


class PreferredNodeTerm(Block):
    """core/v1 PreferredSchedulingTerm."""

    weight: Annotated[int, Field(description="Weight among the preferences."), between(1, 100)]
    preference: Annotated[NodeSelectorTerm, Field(description="Nodes that are preferred.")]


class NodeAffinity(Block):
    """core/v1 NodeAffinity."""

    required_during_scheduling_ignored_during_execution: Annotated[
        NodeSelector | None, Field(description="Nodes that are allowed.")
    ] = None
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredNodeTerm, ...], Field(description="Nodes that are preferred."), at_most(16)
    ] = ()


class PodAffinityTerm(Block):
    """core/v1 PodAffinityTerm."""

    label_selector: Annotated[LabelSelector | None, Field(description="Pods that are meant.")] = None
    topology_key: TopologyKey
    namespaces: Annotated[
        tuple[Annotated[str, at_most(63)], ...],
        Field(description="Namespaces of those pods; empty: the pod's own."),
        at_most(32),
    ] = ()
    namespace_selector: Annotated[LabelSelector | None, Field(description="Namespaces by label.")] = None
    match_label_keys: LabelKeys = ()
    mismatch_label_keys: LabelKeys = ()


class WeightedPodAffinityTerm(Block):
    """core/v1 WeightedPodAffinityTerm."""

    weight: Annotated[int, Field(description="Weight among the preferences."), between(1, 100)]
    pod_affinity_term: Annotated[PodAffinityTerm, Field(description="The preference.")]


class PodAffinity(Block):
    """core/v1 PodAffinity and PodAntiAffinity."""

    required_during_scheduling_ignored_during_execution: Annotated[
        tuple[PodAffinityTerm, ...], Field(description="All must hold."), at_most(8)
    ] = ()
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[WeightedPodAffinityTerm, ...], Field(description="Preferences."), at_most(8)
    ] = ()


class Affinity(Block):
    """core/v1 Affinity."""

    node_affinity: Annotated[NodeAffinity | None, Field(description="Nodes to be on.")] = None
    pod_affinity: Annotated[PodAffinity | None, Field(description="Pods to be near.")] = None
    pod_anti_affinity: Annotated[PodAffinity | None, Field(description="Pods to be away from.")] = None


class TopologySpreadConstraint(Block):
    """core/v1 TopologySpreadConstraint."""

    max_skew: Annotated[int, Field(description="Largest difference between two domains."), between(1, 1000)]
    topology_key: TopologyKey
    when_unsatisfiable: Annotated[WhenUnsatisfiable, Field(description="What to do where it cannot be kept.")]
    label_selector: Annotated[LabelSelector | None, Field(description="Pods that are counted.")] = None
    min_domains: Annotated[int | None, Field(description="Domains that must exist at least."), between(1, 1000)] = None
    node_affinity_policy: Annotated[
        InclusionPolicy | None, Field(description="Whether node affinity limits the count.")
    ] = None
    node_taints_policy: Annotated[InclusionPolicy | None, Field(description="Whether taints limit the count.")] = None
    match_label_keys: LabelKeys = ()


class EnvVar(Block):
    """A plain value; there is no valueFrom, for it could read any Secret of the namespace."""

    name: Annotated[str, Field(description="Name; MM_ is reserved for the operator."), ENV_NAME]
    value: Annotated[str, Field(description="Plain value."), at_most(4096)] = ""


class ImagePullSecret(Block):
    """core/v1 LocalObjectReference."""

    name: Annotated[str, Field(description="Name of the Secret.", min_length=1), OBJECT_NAME]


class ResourceList(Block):
    """What the engine's container asks for or may use."""

    cpu: Annotated[Quantity | None, Field(description="CPU, such as 250m.")] = None
    memory: Annotated[Quantity | None, Field(description="Memory, such as 128Mi.")] = None
    ephemeral_storage: Annotated[
        Quantity | None, Field(alias="ephemeral-storage", description="Ephemeral storage, such as 1Gi.")
    ] = None


class ResourcesSpec(Block):
    """core/v1 ResourceRequirements of the engine's container."""

    requests: Annotated[ResourceList, Field(description="What is set aside.")] = ResourceList()
    limits: Annotated[ResourceList, Field(description="What may be used.")] = ResourceList()


DEFAULT_RESOURCES: Final = ResourcesSpec(
    requests=ResourceList(cpu="250m", memory="128Mi"), limits=ResourceList(memory="256Mi")
)


class PodSpec(Block):
    """What a cluster's owner may say of the pod; every change drains the engine and makes a new pod."""

    image: Annotated[
        str,
        restart("Runner image; empty: the operator's matching one. Others only from the operator's allow-list."),
        IMAGE,
    ] = ""
    resources: Annotated[
        ResourcesSpec, restart("Resources of the engine's container; what is given replaces the default whole.")
    ] = DEFAULT_RESOURCES
    node_selector: Annotated[dict[str, LabelValue], restart("Node labels that must be there."), at_most(32)] = Field(
        default={}
    )
    tolerations: Annotated[tuple[Toleration, ...], restart("Taints that are tolerated."), at_most(16)] = ()
    affinity: Annotated[
        Affinity, restart("Scheduling affinity; the operator adds its own term against a lost node.")
    ] = Affinity()
    topology_spread_constraints: Annotated[
        tuple[TopologySpreadConstraint, ...], restart("Spread over the cluster."), at_most(8)
    ] = ()
    priority_class_name: Annotated[
        str, restart("Priority class of the pod; empty: the cluster's default."), OBJECT_NAME
    ] = ""
    labels: Annotated[
        dict[str, LabelValue],
        restart("Further labels of the pod; marketmaker.io/ and app.kubernetes.io/ are reserved."),
        at_most(32),
    ] = Field(default={})
    annotations: Annotated[
        dict[str, Annotated[str, at_most(4096)]],
        restart("Further annotations of the pod; marketmaker.io/ is reserved."),
        at_most(32),
    ] = Field(default={})
    env: Annotated[
        tuple[EnvVar, ...], restart("Further environment variables: plain values only, no valueFrom."), at_most(64)
    ] = ()
    image_pull_secrets: Annotated[
        tuple[ImagePullSecret, ...], restart("Secrets for pulling the image."), at_most(8)
    ] = ()
