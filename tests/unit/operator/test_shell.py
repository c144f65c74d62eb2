"""The shell around the pure core: caches, resync, Events, streams' messages, settings."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from mm_contract import names
from mm_contract.report import Delta, FiguresSection, MarketDataSection, ReportError, RiskSection, Snapshot
from mm_contract.states import RiskState
from mm_operator import resync as resyncs
from mm_operator.actions import Announce
from mm_operator.cache import Cache
from mm_operator.handlers import EndlessBackoff, operator_settings
from mm_operator.kube.api import ApiError
from mm_operator.kube.kinds import CHILD_KINDS, CONFIG_MAP, EVENT, MARKET_MAKER, POD, SECRET, SERVICE
from mm_operator.metrics import Metrics
from mm_operator.recorder import WINDOW, Recorder
from mm_operator.resync import Resync
from mm_operator.settings import Settings, SettingsError, StatusKey, read_status_keys
from mm_operator.stream import Target, merge
from mm_operator.views import Key
from support.api_model import ApiModel
from support.operator_facts import NOW, SETTINGS, UID, manifest, report, view

KEY = Key("trading", "ethusdt")
OURS = {names.LABEL_MANAGED_BY: names.MANAGED_BY}


def owned(name: str, version: str = "10", uid: str = "x") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "trading", "uid": uid, "resourceVersion": version}
    return {"metadata": metadata | {"labels": OURS | {names.LABEL_UID: UID, names.LABEL_ATTEMPT: "1"}}}


# The cache.


def test_an_older_version_never_replaces_a_newer_one() -> None:
    cache = Cache(SETTINGS)
    cache.put(MARKET_MAKER, manifest(resourceVersion="9"))
    assert cache.put(MARKET_MAKER, manifest(resourceVersion="8")) == set()
    assert cache.resources[KEY].resource_version == "9"
    assert cache.put(MARKET_MAKER, manifest(resourceVersion="10", generation=4)) == {KEY}


def test_a_resource_made_anew_under_the_same_name_is_another_one() -> None:
    cache = Cache(SETTINGS)
    cache.put(MARKET_MAKER, manifest())
    cache.put(POD, owned("ethusdt-abcde-1"))
    cache.put(MARKET_MAKER, manifest(uid="new", resourceVersion="1"))
    assert cache.pods(UID) == ()
    assert cache.resources[KEY].uid == "new"


def test_the_last_view_of_a_pod_outlives_it_once() -> None:
    cache = Cache(SETTINGS)
    cache.put(MARKET_MAKER, manifest())
    cache.put(POD, owned("ethusdt-abcde-1"))
    cache.drop(POD, owned("ethusdt-abcde-1", "11") | {"status": {"phase": "Succeeded"}})
    assert [each.phase for each in cache.take_departed(UID)] == ["Succeeded"]
    assert cache.take_departed(UID) == []


def test_the_older_resource_has_the_claim_and_its_end_wakes_the_younger() -> None:
    cache = Cache(SETTINGS)
    older = manifest(name="older", uid="1", creationTimestamp="2026-01-01T00:00:00Z")
    younger = manifest(name="younger", uid="2", creationTimestamp="2026-01-01T00:00:01Z")
    cache.put(MARKET_MAKER, younger)
    assert cache.holder(Key("trading", "younger")) is None
    assert cache.put(MARKET_MAKER, older) == {Key("trading", "older"), Key("trading", "younger")}
    assert cache.holder(Key("trading", "younger")) == Key("trading", "older")
    assert cache.holder(Key("trading", "older")) is None
    assert Key("trading", "younger") in cache.drop(MARKET_MAKER, older)
    assert cache.holder(Key("trading", "younger")) is None


def test_an_unreadable_spec_is_refused_with_sentences_and_keeps_its_claim() -> None:
    cache = Cache(SETTINGS)
    cache.put(MARKET_MAKER, manifest())
    claim = cache.parsed(KEY).claim
    cache.put(MARKET_MAKER, manifest({"quoting": {"levels": 99}}, resourceVersion="8", generation=4))
    assert "levels" in cache.parsed(KEY).refusal
    assert cache.parsed(KEY).spec is None
    assert cache.parsed(KEY).claim == claim


def test_resources_that_cannot_be_read_hold_nothing_against_each_other() -> None:
    cache = Cache(SETTINGS)
    for name in ("a", "b"):
        unreadable = manifest({"exchange": {"account": None}}, name=name, uid=name, generation=1)
        assert cache.put(MARKET_MAKER, unreadable) == {Key("trading", name)}
        assert cache.parsed(Key("trading", name)).refusal
    assert cache.holder(Key("trading", "b")) is None
    cache.put(MARKET_MAKER, manifest(name="a", uid="a", generation=2, resourceVersion="8"))
    assert list(cache.rivals(Key("trading", "b"))) == []


def test_other_namespaces_are_not_ours() -> None:
    cache = Cache(Settings("r", SETTINGS.status_keys, watch_namespaces=("elsewhere",)))
    assert cache.put(MARKET_MAKER, manifest()) == set()
    assert not cache.resources


# The resync.


@pytest.fixture
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resyncs, "GRACE_SECONDS", 0.0)


def drift(metrics: Metrics, kind: str) -> float:
    wanted = f'mm_operator_resync_drift_total{{kind="{kind}"}} '
    lines = metrics.exposition().decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(wanted)), 0.0)


@pytest.mark.usefixtures("_no_grace")
async def test_what_the_watch_missed_is_found_repaired_and_counted() -> None:
    api, cache, metrics = ApiModel(), Cache(SETTINGS), Metrics()
    resync = Resync(api, cache, SETTINGS, metrics)
    made = api.add(MARKET_MAKER, manifest())
    await resync.fill()
    assert await resync.repair() == set()
    child = owned("mm-ethusdt")
    child["metadata"]["labels"][names.LABEL_UID] = made["metadata"]["uid"]
    api.add(SERVICE, child)
    assert await resync.repair() == {KEY}
    api.erase(SERVICE, "trading", "mm-ethusdt")
    assert await resync.repair() == {KEY}
    assert drift(metrics, "Service") == 2
    api.erase(MARKET_MAKER, "trading", "ethusdt")
    assert await resync.repair() == {KEY}
    assert not cache.resources


@pytest.mark.usefixtures("_no_grace")
async def test_a_claim_state_belongs_to_no_resource_and_is_no_drift() -> None:
    api, metrics = ApiModel(), Metrics()
    resync = Resync(api, Cache(SETTINGS), SETTINGS, metrics)
    api.add(CONFIG_MAP, {"metadata": {"name": "mm-claim", "namespace": "claims", "labels": dict(OURS)}})
    assert await resync.repair() == set()
    assert drift(metrics, "ConfigMap") == 0


# Events.


async def test_the_same_thing_within_ten_minutes_is_one_event_that_counts() -> None:
    api, clock = ApiModel(), [NOW]
    recorder = Recorder(api, lambda: clock[0], instance="me")
    told = Announce("RiskHalted", "stopLoss", warning=True)
    for _ in range(3):
        await recorder.announce(view(), told)
    (event,) = api.of(EVENT)
    assert (event["type"], event["reason"], event["series"]["count"]) == ("Warning", "RiskHalted", 3)
    assert event["regarding"]["uid"] == UID
    clock[0] = NOW + WINDOW
    await recorder.announce(view(), told)
    await recorder.announce(view(), Announce("RiskHalted", "drawdown", warning=True))
    assert len(api.of(EVENT)) == 3


async def test_an_event_that_cannot_be_written_stops_nothing() -> None:
    api = ApiModel(away=True)
    await Recorder(api, lambda: NOW, instance="me").announce(view(), Announce("X", "y"))
    assert not api.of(EVENT)


# Streams.


def test_a_delta_needs_its_snapshot_and_its_predecessor() -> None:
    whole, transition = merge(None, Snapshot(sequence=4, report=report()), expected=1)
    assert transition
    with pytest.raises(ReportError):
        merge(None, Delta(sequence=1), expected=1)
    with pytest.raises(ReportError):
        merge(whole, Delta(sequence=6), expected=5)


def test_figures_alone_are_no_transition() -> None:
    whole = report()
    after, transition = merge(whole, Delta(sequence=5, figures=FiguresSection(position="1")), expected=5)
    assert (after.figures.position, transition) == ("1", False)
    assert merge(whole, Delta(sequence=5, risk=RiskSection(state=RiskState.HALTED)), expected=5)[1]
    assert not merge(whole, Delta(sequence=5, market_data=MarketDataSection(synced=True, age_seconds=3)), expected=5)[1]
    assert merge(whole, Delta(sequence=5, market_data=MarketDataSection(synced=False)), expected=5)[1]


def test_a_token_is_never_shown() -> None:
    target = Target("uid", "pod", "fd00::1", 8080, "secret-token")
    assert "secret-token" not in repr(target)
    assert target.uri == "ws://[fd00::1]:8080/v1/status"


# Settings.


def test_the_first_key_makes_tokens_and_the_previous_one_is_still_known(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"a" * 32 + b"\n")
    (tmp_path / "previousKey").write_bytes(b"b" * 32)
    assert read_status_keys((), directory=tmp_path) == (StatusKey(b"a" * 32), StatusKey(b"b" * 32))


@pytest.mark.parametrize("content", [None, b"short"])
def test_a_key_that_is_missing_or_weak_is_refused_with_advice(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(SettingsError, match="key"):
        read_status_keys((), directory=tmp_path)


def test_images_are_allowed_by_pattern() -> None:
    settings = Settings("own:1", SETTINGS.status_keys, allowed_images=("registry.test/*",))
    assert settings.allows_image("own:1")
    assert settings.allows_image("registry.test/runner:2")
    assert not settings.allows_image("registry.test.evil/runner:2")


def test_retries_never_end_and_stay_within_their_cap() -> None:
    delays = list(itertools.islice(EndlessBackoff(cap_seconds=10, chance=lambda: 0.5), 500))
    assert delays[0] == 0.5
    assert delays[-1] == 10
    assert next(iter(operator_settings().networking.error_backoffs)) < 1


def test_kopf_lists_only_what_is_ours_and_writes_nothing() -> None:
    settings = operator_settings()
    assert settings.posting.enabled is False
    assert settings.peering.standalone is True
    assert len(list(settings.watching.label_selectors)) == len(CHILD_KINDS) + 1


def test_an_api_error_tells_what_to_make_of_it() -> None:
    assert ApiError(404, "NotFound", "x").is_missing
    assert ApiError(403, "Forbidden", "namespace x because it is being terminated").is_terminating_namespace
    assert SECRET.path("ns", "a") == "/api/v1/namespaces/ns/secrets/a"
    assert MARKET_MAKER.path(None) == "/apis/marketmaker.io/v1alpha1/marketmakers"
    assert MARKET_MAKER.path("ns", "a", subresource="status").endswith("/marketmakers/a/status")
