"""Parameter sweeps: which combinations, on which stretches of which tapes, and what came of each. Pure; `sweeping` runs it on all cores."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from mm_backtest.errors import BacktestError
from mm_backtest.tape import Stretch
from mm_contract.resource import MarketMaker, MarketMakerSpec, SpecError, parse_market_maker, to_manifest

Parameters = Mapping[str, str | float | bool]
"""Value by path below `spec`, such as {"quoting.minSpreadBps": 6.0}."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a sweep. `place` orders results: combination, tape, segment."""

    place: tuple[int, int, int]
    parameters: dict[str, Any]
    spec: MarketMakerSpec | None
    refusal: str
    """Why the combination cannot be run; empty where it can."""
    tape: str
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a trial: its summary, or the sentence of its failure."""

    place: tuple[int, int, int]
    parameters: dict[str, Any]
    tape: str
    stretch: Stretch
    summary: dict[str, Any] | None
    error: str = ""


def parse_setting(text: str) -> tuple[str, list[str]]:
    """`quoting.minSpreadBps=4,6,8` as a path and its values.

    Raises:
        BacktestError: not of that form.
    """
    path, equals, values = text.partition("=")
    listed = [value.strip() for value in values.split(",")]
    if not equals or not path.strip() or not all(listed):
        raise BacktestError(f"--set {text!r} must be PATH=VALUE,VALUE such as quoting.minSpreadBps=4,6,8")
    return path.strip().removeprefix("spec."), listed


def combinations(settings: Sequence[tuple[str, list[str]]]) -> list[dict[str, str]]:
    """Every combination, the last setting varying fastest; one empty one where nothing is set.

    Raises:
        BacktestError: a path is set twice.
    """
    paths = [path for path, _ in settings]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise BacktestError(f"--set {twice} is given twice: give all its values in one")
    return [dict(zip(paths, values, strict=True)) for values in itertools.product(*(listed for _, listed in settings))]


def changed(maker: MarketMaker, texts: Mapping[str, str]) -> tuple[dict[str, Any], MarketMakerSpec]:
    """The spec with these values, typed as the fields are.

    Raises:
        SpecError: a path that is no field, or a value that the contract refuses.
    """
    manifest = to_manifest(maker)
    parameters: dict[str, Any] = {}
    for path, text in texts.items():
        parameters[path] = _set(manifest["spec"], path, text)
    return parameters, parse_market_maker(manifest).spec


def _set(spec: dict[str, Any], path: str, text: str) -> Any:
    *parents, last = path.split(".")
    level: Any = spec
    for name in parents:
        level = level.get(name) if isinstance(level, dict) else None
    if not isinstance(level, dict) or last not in level:
        raise SpecError([f"spec.{path} is no field that can be set; docs/reference/resource.md lists them"])
    # An amount is a decimal string and stays one; everything else is what YAML says.
    level[last] = text if isinstance(level[last], str) else yaml.safe_load(text)
    return level[last]


def trials(
    maker: MarketMaker, wanted: Sequence[Mapping[str, str]], stretches: Mapping[str, Sequence[Stretch]]
) -> list[Trial]:
    """Every combination on every stretch of every tape, in the order of the results."""
    made: list[Trial] = []
    for number, texts in enumerate(wanted):
        parameters: dict[str, Any] = dict(texts)
        spec, refusal = None, ""
        try:
            parameters, spec = changed(maker, texts)
        except SpecError as error:
            refusal = "; ".join(error.problems)
        for tape_number, (tape, parts) in enumerate(stretches.items()):
            made += [
                Trial((number, tape_number, part_number), parameters, spec, refusal, tape, stretch)
                for part_number, stretch in enumerate(parts)
            ]
    return made


# -- objectives ------------------------------------------------------------------------------------------------------------------------


def _pnl(summary: Mapping[str, Any]) -> float:
    return float(summary["pnl"])


def _pnl_bps(summary: Mapping[str, Any]) -> float:
    return float(summary["pnl"]) / float(summary["volume"]) * 1e4 if summary["volume"] else 0.0


def _pnl_per_drawdown(summary: Mapping[str, Any]) -> float:
    return float(summary["pnl"]) / max(float(summary["maxDrawdown"]), 1e-9) if summary["volume"] else 0.0


OBJECTIVES: Final = {"pnl": _pnl, "pnlBps": _pnl_bps, "pnlPerDrawdown": _pnl_per_drawdown}
"""Higher is better: net PnL in quote units; the same per traded volume in basis points; the same over the deepest fall of the equity."""


# -- walk-forward ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fold:
    """Chosen on one segment, tested on the next."""

    tape: str
    segment: int
    """Of the training, counted from 1."""
    parameters: dict[str, Any]
    in_sample: float
    out_of_sample: float | None
    """None where the chosen combination's test run failed."""
    best_out_of_sample: float | None
    """What the best combination of the test segment would have made: the price of not knowing."""


def walk_forward(results: Sequence[Result], objective: str) -> list[Fold]:
    """Choose the best combination of each segment by the objective and look what it makes of the next one; ties go to the earlier combination."""
    score = OBJECTIVES[objective]
    scores: dict[tuple[int, int], dict[int, float]] = {}
    by_place = {one.place: one for one in results}
    for one in results:
        if one.summary is not None:
            scores.setdefault(one.place[1:], {})[one.place[0]] = score(one.summary)
    folds: list[Fold] = []
    for (tape, segment), known in sorted(scores.items()):
        following = scores.get((tape, segment + 1))
        if (0, tape, segment + 1) not in by_place and following is None:
            continue
        chosen = max(known, key=lambda number, known=known: (known[number], -number))  # type: ignore[misc]
        trained = by_place[chosen, tape, segment]
        folds.append(
            Fold(
                trained.tape, segment + 1, trained.parameters, known[chosen], (following or {}).get(chosen),
                max(following.values()) if following else None,
            )
        )  # fmt: skip
    return folds


def segments(seconds: float, count: int) -> list[Stretch]:
    """Equal stretches of a tape; the last one is open, so that nothing is lost to rounding."""
    if count < 2:
        return [Stretch()]
    length = seconds / count
    return [Stretch(number * length, (number + 1) * length if number < count - 1 else None) for number in range(count)]
