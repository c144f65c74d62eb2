"""The listenKey's life in virtual time: the seed's events, in their order, at their times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_contract.redaction import fingerprint
from mm_contract.states import ListenKeyState
from mm_runner.core.messages import Instant
from mm_runner.venue.listen_key import KeySettings, ListenKeyCycle, Step

S = 1_000_000_000
KEY = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"


class Account:
    """A venue in virtual time that the cycle is driven against: what each call is to answer is scripted."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.cycle = ListenKeyCycle(self.now())
        self.events: list[tuple[float, str, str]] = []
        self.calls: list[tuple[float, Step]] = []

    def now(self) -> Instant:
        return Instant(boot_ns=int(self.now_s * S), wall_ms=1_790_000_000_000 + int(self.now_s * 1000))

    def step(self, answer: str | int) -> None:
        """Wait until it is due and let the venue answer: a key, or an error code (0: no answer)."""
        self.now_s = max(self.now_s, self.cycle.due_ns / S)
        step = self.cycle.next_step
        self.calls.append((self.now_s, step))
        if step is Step.CREATE:
            said = (
                self.cycle.created(answer, self.now())
                if isinstance(answer, str)
                else self.cycle.create_failed(self.now(), "down")
            )
        elif isinstance(answer, str):
            said = self.cycle.kept(self.now())
        else:
            said = self.cycle.keep_failed(self.now(), "down", code=answer)
        self.note(said)

    def note(self, said) -> None:
        self.events += [(self.now_s, one.event, str(one.fields["listenKey"])) for one in said]

    def names(self) -> list[str]:
        return [name for _, name, _ in self.events]


@pytest.fixture
def account() -> Account:
    return Account()


def test_a_good_day_creates_once_and_keeps_every_half_hour(account):
    for answer in (KEY, KEY, KEY, KEY):
        account.step(answer)
    assert [(t, name) for t, name, _ in account.events] == [
        (0, "listenkey_created"),
        (1800, "listenkey_keepalive_ok"),
        (3600, "listenkey_keepalive_ok"),
        (5400, "listenkey_keepalive_ok"),
    ]
    assert account.cycle.state is ListenKeyState.ACTIVE


def test_a_failed_keepalive_is_retried_after_five_seconds(account):
    account.step(KEY)
    account.step(0)
    assert account.cycle.state is ListenKeyState.RETRYING
    account.step(KEY)
    account.step(KEY)
    assert [(t, name) for t, name, _ in account.events] == [
        (0, "listenkey_created"),
        (1800, "listenkey_keepalive_error"),
        (1805, "listenkey_keepalive_retry_ok"),
        (3605, "listenkey_keepalive_ok"),
    ]


def test_a_failed_retry_creates_the_key_anew_at_once(account):
    for answer in (KEY, 0, 0, "another-key"):
        account.step(answer)
    assert [(t, name) for t, name, _ in account.events] == [
        (0, "listenkey_created"),
        (1800, "listenkey_keepalive_error"),
        (1805, "listenkey_keepalive_retry_failed"),
        (1805, "listenkey_created"),
    ]
    assert account.cycle.key == "another-key"


def test_no_such_key_needs_no_retry(account):
    for answer in (KEY, -1125, "another-key"):
        account.step(answer)
    assert account.names() == [
        "listenkey_created",
        "listenkey_keepalive_error",
        "listenkey_expired",
        "listenkey_created",
    ]
    assert account.now_s == 1800


def test_an_expiry_on_the_stream_creates_at_once(account):
    account.step(KEY)
    account.now_s = 700
    account.note(account.cycle.expired(account.now()))
    assert account.cycle.state is ListenKeyState.EXPIRED
    assert account.cycle.key == ""
    account.step("another-key")
    assert account.names() == ["listenkey_created", "listenkey_expired", "listenkey_created"]
    assert account.now_s == 700
    assert account.cycle.state is ListenKeyState.ACTIVE


def test_while_creation_fails_pauses_grow_to_their_cap_and_the_failures_count(account):
    for _ in range(8):
        account.step(0)
    pauses = [later - earlier for (earlier, _), (later, _) in zip(account.calls, account.calls[1:], strict=False)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert account.cycle.failures == 8
    assert account.cycle.state is ListenKeyState.EXPIRED
    account.step(KEY)
    assert account.cycle.failures == 0


def test_a_stream_that_does_not_stay_up_makes_the_key_suspect(account):
    account.step(KEY)
    account.now_s = 60
    account.cycle.suspect(account.now())
    assert account.cycle.next_step is Step.CREATE
    assert account.cycle.due_ns == 60 * S


@given(st.lists(st.one_of(st.just(KEY), st.just("other"), st.just(0), st.just(-1125)), max_size=40))
def test_the_key_itself_is_never_said_or_shown_and_a_next_step_is_always_planned(answers):
    account = Account()
    for answer in answers:
        account.step(answer)
        section = account.cycle.section()
        assert KEY not in repr(section)
        assert section.fingerprint in ("", fingerprint(KEY), fingerprint("other"))
        assert account.cycle.due_ns <= int(account.now_s * S) + 1800 * S
    assert all(shown in ("", fingerprint(KEY), fingerprint("other")) for _, _, shown in account.events)
    assert all(step in (Step.CREATE, Step.KEEP, Step.RETRY) for _, step in account.calls)  # there is no deletion


def test_the_section_tells_when_it_was_kept_and_when_it_would_expire(account):
    account.step(KEY)
    account.step(KEY)
    section = account.cycle.section()
    assert section.last_keepalive_time == "2026-09-21T14:43:20Z"
    assert section.expires_at == "2026-09-21T15:43:20Z"


def test_the_interval_is_a_parameter():
    cycle = ListenKeyCycle(Instant(0, 0), KeySettings(interval_seconds=2))
    cycle.created(KEY, Instant(0, 0))
    assert cycle.due_ns == 2 * S
