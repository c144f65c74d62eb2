"""The outbox: where the core's parts put their actions, in the order in which they are to be carried out."""

from __future__ import annotations

from collections.abc import Sequence

from mm_runner.core.messages import Action, EmitEvent


class Outbox:
    """Collects the actions of one `handle`; adds the symbol to every log event."""

    __slots__ = ("_actions", "_symbol")

    def __init__(self, *, symbol: str) -> None:
        self._symbol = symbol
        self._actions: list[Action] = []

    def put(self, action: Action) -> None:
        """Append an action."""
        self._actions.append(action)

    def log(self, name: str, /, **fields: object) -> None:
        """Append a log event of the contract's registry."""
        self._actions.append(EmitEvent(name=name, fields={"symbol": self._symbol, **fields}))

    def take(self) -> Sequence[Action]:
        """Everything since the last take."""
        actions = self._actions
        if not actions:
            return ()
        self._actions = []
        return actions
