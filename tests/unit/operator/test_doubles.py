"""The doubles that the operator's integration tests lean on: what they lose, the operator would be blamed for."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import connect

from mm_contract.report import FiguresSection, StatusReport, decode
from mm_contract.status_token import status_token
from mm_operator.stream import merge
from support import operator_world_door
from support.operator_facts import UID, report
from support.operator_world_door import Door
from support.operator_world_engine import KEY, Engine
from support.waiting import wait_for

AN_INSTANT = 0.2
"""What is not held back ends within it; nothing fails where the machine is slower."""


def replayed(frames: list[str]) -> StatusReport:
    """What a client knows after these frames."""
    known, sequence = None, 0
    for frame in frames:
        message = decode(frame)
        known, _ = merge(known, message, expected=sequence + 1)
        sequence = message.sequence
    assert known is not None
    return known


# The engine.


class Wire:
    """A connection that joins while the engine says something new."""

    def __init__(self, engine: Engine) -> None:
        self.frames: list[str] = []
        self._saying = threading.Thread(target=engine.say, kwargs={"figures": FiguresSection(position="5")})

    def send(self, frame: str) -> None:
        self.frames.append(frame)
        if len(self.frames) == 1:
            self._saying.start()
            self._saying.join(AN_INSTANT)

    def __iter__(self) -> Iterator[str]:
        self._saying.join()
        return iter(())


def test_what_an_engine_says_while_a_client_joins_reaches_that_client() -> None:
    engine = Engine("127.0.0.1", 0, UID, report())
    engine._serving = True
    wire: Any = Wire(engine)
    engine._handle(wire)
    assert replayed(wire.frames).figures.position == "5"


def test_saying_the_same_again_leaves_no_gap_in_the_numbers() -> None:
    engine = Engine("127.0.0.1", 0, UID, report())
    engine._serving = True
    wire: Any = Wire(engine)
    engine._handle(wire)
    engine.say(figures=FiguresSection(position="5"))
    engine.say(figures=FiguresSection(position="6"))
    assert replayed(wire.frames).figures.position == "6"


def test_a_client_whose_handshake_ends_after_the_engine_is_not_served() -> None:
    engine = Engine("127.0.0.1", 0, UID, report())
    wire: Any = Wire(engine)
    engine._handle(wire)
    assert wire.frames == []
    assert engine.connections == []


def test_an_engine_that_stopped_has_no_clients_and_can_come_back() -> None:
    host = "127.0.77.1"  # nobody's outgoing connections take its ports meanwhile
    with socket.create_server((host, 0)) as free:
        port = free.getsockname()[1]
    engine = Engine(host, port, UID, report())
    token = {"Authorization": f"Bearer {status_token(KEY, UID)}"}
    for _ in range(2):
        engine.start()
        with connect(f"ws://{host}:{port}/v1/status", additional_headers=token, proxy=None) as client:
            assert replayed([str(client.recv(timeout=10))]) == report()
            wait_for(lambda: engine.connections, what="the client is known")
            engine.stop()
            assert list(client) == []


# The door.


@pytest.fixture
def target() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        yield listener


@pytest.fixture
def door(target: socket.socket) -> Iterator[Door]:
    door = Door(target.getsockname())
    yield door
    door.close()


def through(door: Door) -> socket.socket:
    return socket.create_connection(("127.0.0.1", door.port), timeout=10)


def everything(end: socket.socket) -> bytes:
    """All that comes until the other side ends it."""
    got = b""
    while chunk := end.recv(65536):
        got += chunk
    return got


def test_an_answer_passes_after_the_question_has_ended(door: Door, target: socket.socket) -> None:
    with through(door) as asking:
        asking.sendall(b"question")
        asking.shutdown(socket.SHUT_WR)
        answering, _ = target.accept()
        with answering:
            assert everything(answering) == b"question"
            answering.sendall(b"answer" * 100_000)
        assert everything(asking) == b"answer" * 100_000


def test_a_shut_door_cuts_what_is_open_and_takes_nothing_new_until_it_opens(door: Door, target: socket.socket) -> None:
    with through(door) as early:
        there, _ = target.accept()
        with there:
            door.shut()
            assert everything(early) == b""
            assert everything(there) == b""
    with through(door) as late:
        assert everything(late) == b""
    door.open()
    with through(door) as again:
        again.sendall(b"back")
        there, _ = target.accept()
        with there:
            assert there.recv(4) == b"back"


def test_no_connection_slips_through_a_door_that_is_being_shut(
    door: Door, target: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive = socket.create_connection

    def arrive_late(address: tuple[str, int], *rest: Any, **options: Any) -> socket.socket:
        arrived = arrive(address, *rest, **options)
        if address == target.getsockname():
            door.shut()
        return arrived

    monkeypatch.setattr(operator_world_door.socket, "create_connection", arrive_late)
    with through(door) as end, contextlib.suppress(ConnectionError):
        assert everything(end) == b""
