"""What tests of packing share."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def the_same_time_and_author():
    """Equal datasets are to have equal manifests, whenever and by whomever they are made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1735689600")
        patch.setenv("TFSTREAM_AUTHOR", "ann")
        yield
