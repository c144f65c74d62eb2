"""A valid resource as text, to be varied by the tests."""

from __future__ import annotations

import pytest

MAKER = """
apiVersion: marketmaker.io/v1alpha1
kind: MarketMaker
metadata:
  name: ethusdt
  namespace: trading
  labels: {desk: a}
spec:
  symbol: ETHUSDT
  desiredState: Running
  exchange:
    account: desk-a
    credentials: {secretName: mm-desk-a}
  quoting: {minSpreadBps: 4.0}
  strategy: {grid: {}}
"""


@pytest.fixture
def maker_text() -> str:
    return MAKER
