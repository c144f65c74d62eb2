"""Hypothesis judges behaviour here, not the speed of a shared machine: no deadline per example."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
