"""The reference pages say what the registries say."""

from __future__ import annotations

from pathlib import Path

from mm_contract import reference
from mm_contract.events import EVENTS, schema_error
from mm_contract.metrics import METRICS

DOCS = Path(__file__).parents[3] / "docs" / "reference"


def test_the_committed_reference_pages_are_up_to_date():
    assert reference.stale(DOCS) == []


def test_a_changed_page_is_called_stale(tmp_path):
    for name, text in reference.pages().items():
        (tmp_path / name).write_text(text)
    (tmp_path / "metrics.md").write_text("old")
    assert reference.stale(tmp_path) == ["metrics.md"]


def test_every_event_and_metric_has_a_row():
    pages = reference.pages()
    assert all(f"| `{name}` |" in pages["log-events.md"] for name in EVENTS)
    assert all(f"| `{name}` |" in pages["metrics.md"] for name in METRICS)


def test_writing_and_asking_are_the_only_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert reference.main([]) == 1
    assert "stale" in capsys.readouterr().err
    assert reference.main(["--write"]) == 0
    assert reference.main([]) == 0
    assert reference.main(["--frobnicate"]) == 2


def test_an_unregistered_event_is_a_schema_error():
    assert schema_error("no_such_event", {}) == "unregistered event: no_such_event"
