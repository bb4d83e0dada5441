from collections.abc import Iterator

import pytest

from tests.workers.pipes import Ends


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()
