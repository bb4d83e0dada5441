"""What company and drafts do to answers: the part of `scripts/bench text` about seeded answers alone and
together, and about texts that repeat themselves. With the language model that is shipped.

Each function takes addresses of services, prints what it saw, and returns which bars are met.
"""

import statistics
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import httpx

from scripts.benchmarks import load
from scripts.benchmarks.report import bar
from scripts.benchmarks.servers import sluice

NUM_SEEDED, NUM_TOGETHER, NUM_SEEDED_TOKENS = 100, 32, 40
COPY_BAR, OTHER_BAR, NUM_ROUNDS, NUM_ANSWER_TOKENS = 1.0, 0.95, 9, 160

SENTENCE = "The little dog ran to the red house and saw a big cat in the tree. "
OPENINGS = [
    "Once upon a time there was a little girl named Lily.",
    "One day a big red ball",
    "Tim and his mom went to the park.",
    "The old man had a boat and",
    "Sara found a shiny stone.",
    "There was a frog who",
    "Every morning the bird",
    "In the forest lived a bear.",
]


def determinism(url: str) -> list[bool]:
    """Seeded answers alone and among 31 others. In float32."""

    def ask(seed: int) -> str:
        prompt = " ".join(OPENINGS[(seed + i) % len(OPENINGS)] for i in range(1 + seed % 5))
        body = load.completion(prompt, NUM_SEEDED_TOKENS, seed=seed, temperature=1, stream=False)
        answer = httpx.post(f"{url}/v1/completions", json=body, timeout=300)
        text: str = answer.raise_for_status().json()["choices"][0]["text"]
        return text

    alone = [ask(seed) for seed in range(NUM_SEEDED)]
    with ThreadPoolExecutor(NUM_TOGETHER) as pool:
        together = list(pool.map(ask, range(NUM_SEEDED)))
    num_alike = sum(a == b for a, b in zip(alone, together, strict=True))
    print(f"seeded answers of {NUM_SEEDED_TOKENS} tokens alone and {NUM_TOGETHER} at a time:", end=" ")
    print(f"{len(set(alone))} different texts")
    return [bar("the same text alone and together", num_alike, ">=", NUM_SEEDED)]


def speculation(plain_url: str, drafting_url: str) -> list[bool]:
    """Tokens per second of one model with drafts over those without, in turns."""
    copies = [f"{opening} {SENTENCE * 6}" for opening in OPENINGS]
    results = []
    for name, prompts, temperature in (
        ("copying", copies[:1], 0.0),
        ("8 that copy", copies, 0.0),
        ("a story", OPENINGS[:1], 0.0),
        ("8 stories", OPENINGS, 0.0),
        ("a story, sampled", OPENINGS[:1], 1.0),
        ("8 stories, sampled", OPENINGS, 1.0),
        ("32 stories, sampled", OPENINGS * 4, 1.0),
    ):
        ratios = _ratios(plain_url, drafting_url, prompts, temperature)
        print(f"drafts, {name}: {min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} rounds")
        limit = COPY_BAR if "cop" in name else OTHER_BAR
        results.append(
            bar(f"tokens/s with drafts over without, {name}", statistics.median(ratios), ">=", limit)
        )
    workers = httpx.get(f"{drafting_url}/metrics").json()["workers"]
    stats = workers[0]["stats"]
    print(f"  {stats['num_accepted_tokens']} of {stats['num_drafted_tokens']} drafted tokens accepted")
    return results


def _ratios(plain_url: str, drafting_url: str, prompts: list[str], temperature: float) -> list[float]:
    """By round; the first, which warms up, is left out."""
    ratios, seeds = [], count()
    for number in range(NUM_ROUNDS + 1):
        bodies = [
            load.completion(prompt, NUM_ANSWER_TOKENS, temperature=temperature, seed=next(seeds))
            for prompt in prompts
        ]
        took_s = {}
        for url in (plain_url, drafting_url)[:: -1 if number % 2 else 1]:
            took_s[url] = load.run({"url": f"{url}/v1/completions", "bodies": bodies})["read_s"]
        ratios.append(took_s[plain_url] / took_s[drafting_url])
    return ratios[1:]


def run() -> list[bool]:
    """All of them, with services of their own."""
    embedded = ("--threads", "1", "--model", "embedded")
    with sluice(*embedded, "--dtype", "float32") as server:
        results = determinism(server.url)
    plain, drafting = (
        (*embedded, "--set", f"model_defaults.speculation={name}") for name in ("off", "prompt_lookup")
    )
    with sluice(*plain) as server, sluice(*drafting) as other:
        results += speculation(server.url, other.url)
    return results
