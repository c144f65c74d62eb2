"""The parser refuses what the API server refuses (tests/integration/contract), with a sentence that helps."""

from __future__ import annotations

import pytest
import yaml

from mm_contract.resource import SpecError, load_manifest
from support.manifests import BAD, spoilt


@pytest.mark.parametrize("bad", BAD, ids=[each["mistake"] for each in BAD])
def test_the_parser_refuses(bad):
    with pytest.raises(SpecError) as caught:
        load_manifest(yaml.safe_dump(spoilt(bad)))
    assert bad["parser"] in str(caught.value)
