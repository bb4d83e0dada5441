from collections.abc import Iterator

import pytest
import torch
import transformers

from tests.workers.pipes import Ends


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Two busy threads on two shared cores cost 10 to 100 times a step."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(autouse=True)
def same_chance() -> None:
    """What a test draws does not depend on which ran before it."""
    torch.manual_seed(0)


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()
