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
    (folder / "sluice.toml").write_text(SETTINGS)
    with ServiceProcess(folder, "--config", str(folder / "sluice.toml")) as service:
        yield service
        service.wait_idle("sk-alice")
        assert service.stop() == 0


def ask(service: ServiceProcess, done: list[str], name: str, key: str, **wishes: object) -> None:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=key, max_retries=0) as client:
        client.completions.create(model="tiny", prompt="Once", extra_body={"ignore_eos": True, **wishes})
    done.append(name)


def test_neither_key_waits_for_all_of_the_other(service: ServiceProcess) -> None:
    done: list[str] = []
    with ThreadPoolExecutor(8) as pool:
        for number in range(6):
            priority = 0 if number < 5 else -1
            pool.submit(ask, service, done, f"alice {number}", "sk-alice", max_tokens=150, priority=priority)
        service.wait_for_metrics(lambda metrics: metrics["workers"][0]["jobs"] == 6, "sk-alice")
        pool.submit(ask, service, done, "bob", "sk-bob", max_tokens=20)
    assert len(done) == 7
    assert done.index("bob") <= 2
    assert done.index("alice 5") <= 3
