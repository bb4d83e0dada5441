"""Two keys at one worker with one place: neither waits for all of the other's jobs."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.service_process import ServiceProcess

SETTINGS = """
[auth]
keys = { alice = "sk-alice", bob = "sk-bob" }

[models.tiny]
max_num_seqs = 1
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("shares")
    with ServiceProcess(folder, config=SETTINGS) as service:
        yield service
        service.wait_idle("sk-alice")
        assert service.stop() == 0


def ask(client: openai.OpenAI, done: list[str], name: str, **wishes: object) -> None:
    client.completions.create(model="tiny", prompt="Once", extra_body={"ignore_eos": True, **wishes})
    done.append(name)


def client_of(service: ServiceProcess, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key=key, max_retries=0)


def test_neither_key_waits_for_all_of_the_other(service: ServiceProcess) -> None:
    done: list[str] = []
    with (
        client_of(service, "sk-alice") as alice,
        client_of(service, "sk-bob") as bob,
        ThreadPoolExecutor(8) as pool,
    ):
        # The first is long enough for all the others to come while it is answered.
        for number, max_tokens in enumerate((900, 150, 150, 150, 150, 150)):
            wishes = {"max_tokens": max_tokens, "priority": 0 if number < 5 else -1}
            pool.submit(ask, alice, done, f"alice {number}", **wishes)
            service.wait_for_metrics(lambda m, n=number: m["workers"][0]["jobs"] == n + 1, "sk-alice")
        pool.submit(ask, bob, done, "bob", max_tokens=20)
    assert len(done) == 7
    assert done.index("bob") <= 2
    assert done.index("alice 5") <= 3
