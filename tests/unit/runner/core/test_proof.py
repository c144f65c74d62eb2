"""The proof of zero own orders."""

from __future__ import annotations

from mm_runner.core.proof import ZeroProof

SECOND = 1_000_000_000
WINDOW = 2 * SECOND


def witness(proof: ZeroProof, at: float, *, own: int = 0, unresolved: int = 0) -> bool:
    proof.witness(own_orders=own, unresolved=unresolved, sent_ns=int(at * SECOND), recv_window_ns=WINDOW)
    return proof.proven


def test_one_look_proves_nothing_nor_do_two_within_a_recv_window():
    proof = ZeroProof()
    assert [witness(proof, at) for at in (10, 11, 12, 12.05)] == [False] * 4
    assert witness(proof, 12.2)


def test_any_own_order_seen_or_unresolved_begins_it_anew():
    for trouble in ({"own": 1}, {"unresolved": 1}):
        proof = ZeroProof()
        witness(proof, 10)
        assert not witness(proof, 13, **trouble)
        assert not witness(proof, 14)
        assert not witness(proof, 15)
        assert witness(proof, 17)


def test_an_order_that_is_sent_ends_the_proof():
    proof = ZeroProof()
    witness(proof, 10)
    assert witness(proof, 13)
    proof.reset()
    assert not proof.proven
    assert proof.next_ns(now_ns=5, recv_window_ns=WINDOW) == 5


def test_the_next_look_is_asked_for_when_it_can_prove_something():
    proof = ZeroProof()
    witness(proof, 10)
    assert witness(proof, proof.next_ns(now_ns=0, recv_window_ns=WINDOW) / SECOND)
