"""The engine's promises to the loop: ends, stops, pauses, cancels, refusals."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models import make_model, make_tokenizer
from tests.workers.llm.driver import GREEDY, Driver, change, little_cache
from tests.workers.llm.schedules import ACTIONS, Action, play
from workers.errors import JobError
from workers.messages import (
    ChatMessage,
    ChatPrompt,
    Failed,
    Finished,
    Prompt,
    Sampling,
    Started,
    TextPrompt,
    TextWork,
    TokenPrompt,
)

PROMPT = [*range(20, 31)]
RANDOM = Sampling(max_tokens=30, temperature=1.0, seed=5, ignore_eos=True)


@pytest.fixture
def driver(llama: Path) -> Driver:
    return Driver(llama)


def test_limits(driver: Driver) -> None:
    limits = driver.engine.limits
    assert (limits.max_model_len, limits.max_num_seqs) == (512, 32)
    assert limits.vocab_size == len(make_tokenizer())
    assert limits.has_chat_template
    assert limits.description == "LlamaForCausalLM, 0.1 M parameters, float32 on cpu, 512 tokens"


def test_text_is_the_decoded_tokens(driver: Driver) -> None:
    for seed in range(5):
        answer = driver.generate(PROMPT, change(RANDOM, seed=seed))
        assert answer.text == make_tokenizer().decode(answer.token_ids, skip_special_tokens=True)
        assert (answer.reason, len(answer.token_ids)) == ("length", 30)


def test_chat_is_laid_out_by_the_template(driver: Driver) -> None:
    messages = [ChatMessage("system", "Be brief."), ChatMessage("user", "Hello 🦊")]
    job_id = driver.add(TextWork([ChatPrompt(messages)], GREEDY))
    text = "<|start|>system\nBe brief.<|end|><|start|>user\nHello 🦊<|end|><|start|>assistant\n"
    token_ids = make_tokenizer().encode(text)
    driver.run()
    assert driver.token_ids(job_id) == driver.generate(token_ids).token_ids
    end = driver.transcripts[job_id].end
    assert isinstance(end, Finished)
    assert end.usage.prompt_tokens == len(token_ids)


def test_end_tokens(llama: Path, tmp_path: Path) -> None:
    whole = Driver(llama).generate(PROMPT, change(GREEDY, max_tokens=30)).token_ids
    eos = whole[9]
    driver = Driver(make_model(tmp_path, "llama", eos_token_id=[399, eos]))
    answer = driver.generate(PROMPT, change(GREEDY, ignore_eos=False, max_tokens=30))
    assert answer.token_ids == whole[: whole.index(eos) + 1]
    assert answer.reason == "stop"
    ignored = driver.generate(PROMPT, change(GREEDY, max_tokens=30))
    assert (ignored.token_ids, ignored.reason) == (whole, "length")


def test_stop_strings_end_the_answer(driver: Driver) -> None:
    whole = driver.generate(PROMPT, change(RANDOM, temperature=0.7)).text
    stop = whole[11:14]
    answer = driver.generate(PROMPT, change(RANDOM, temperature=0.7, stop=["not there", stop]))
    assert (answer.text, answer.reason) == (whole[: whole.index(stop)], "stop")
    assert len(answer.token_ids) < 30


def test_text_held_back_comes_at_the_end(driver: Driver) -> None:
    """`length` and `cancelled` give out what might have begun a stop string."""
    whole = driver.generate(PROMPT, RANDOM)
    stop = whole.text[-3:] + "never"
    assert driver.generate(PROMPT, change(RANDOM, stop=[stop])).text == whole.text
    job_id = driver.add_tokens(PROMPT, change(RANDOM, stop=[whole.text + "never"]))
    for _ in range(10):
        driver.step()
    driver.engine.cancel(job_id)
    driver.run()
    answer = driver.answer(job_id)
    assert answer.reason == "cancelled"
    assert answer.token_ids == whole.token_ids[:10]
    assert answer.text == make_tokenizer().decode(answer.token_ids, skip_special_tokens=True)


def test_choices_end_one_by_one(driver: Driver) -> None:
    work = TextWork([TokenPrompt(PROMPT)], change(RANDOM, stop=["a", "e", "o"]), n=4)
    job_id = driver.add(work)
    driver.run()
    transcript = driver.transcripts[job_id]
    end = transcript.end
    assert isinstance(end, Finished)
    assert sorted(transcript.answers) == [0, 1, 2, 3]
    assert all(answer.reason in ("stop", "length") for answer in transcript.answers.values())
    num_tokens = sum(len(answer.token_ids) for answer in transcript.answers.values())
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (len(PROMPT), num_tokens)
    assert len(end.ended) == 1


def test_started_comes_first_and_once(llama: Path) -> None:
    driver = Driver(llama, max_num_seqs=1)
    first, second = driver.add_tokens(PROMPT), driver.add_tokens(PROMPT)
    assert driver.step()[0] == Started(first)
    assert driver.engine.stats().num_waiting == 1
    assert not driver.transcripts[second].is_started
    driver.run()


def test_the_answer_ends_where_the_context_does(llama: Path) -> None:
    driver = Driver(llama, max_model_len=20)
    answer = driver.generate(PROMPT, change(GREEDY, max_tokens=100))
    assert (len(answer.token_ids), answer.reason) == (20 - len(PROMPT), "length")


def test_a_paused_job_waits_and_its_neighbours_run(driver: Driver) -> None:
    expected = driver.generate(PROMPT, RANDOM).token_ids
    paused, running = driver.add_tokens(PROMPT, RANDOM, n=2), driver.add_tokens(PROMPT, RANDOM)
    for _ in range(5):
        driver.step()
    driver.engine.pause(paused)
    driver.engine.pause(paused)
    num_before = len(driver.token_ids(paused))
    driver.run()
    assert driver.token_ids(running) == expected
    assert len(driver.token_ids(paused)) == num_before
    assert not driver.engine.has_work()
    stats = driver.engine.stats()
    assert (stats.num_running, stats.num_paused) == (0, 2)
    driver.engine.resume(paused)
    driver.run()
    assert driver.token_ids(paused) == expected
    assert driver.engine.stats().num_preemptions == 0


def test_a_job_may_be_paused_before_its_first_step(driver: Driver) -> None:
    job_id = driver.add_tokens(PROMPT)
    driver.engine.pause(job_id)
    assert not driver.engine.has_work()
    driver.engine.resume(job_id)
    driver.run()
    assert len(driver.token_ids(job_id)) == 12


def test_a_paused_job_gives_its_memory_to_who_needs_it(llama: Path) -> None:
    driver = Driver(llama, **little_cache(llama, 16))
    expected = driver.generate(PROMPT, RANDOM).token_ids
    assert driver.generate_paused(PROMPT, RANDOM, 5).token_ids == expected


def test_a_decode_takes_its_block_from_a_paused_job(llama: Path) -> None:
    driver = Driver(llama, **little_cache(llama, 12), prefix_cache=False)
    paused = driver.add_tokens(PROMPT, RANDOM)
    for _ in range(5):
        driver.step()
    driver.engine.pause(paused)
    driver.add_tokens(PROMPT, RANDOM)
    driver.run()
    stats = driver.engine.stats()
    assert (stats.num_preemptions, stats.cache_usage) == (1, 0)
    driver.engine.resume(paused)
    driver.run()


def test_cancel_frees_all_memory_at_once(driver: Driver) -> None:
    job_ids = [driver.add_tokens(PROMPT * 3, RANDOM, n=2) for _ in range(3)]
    driver.step()
    driver.engine.pause(job_ids[1])
    assert driver.engine.stats().cache_usage > 0
    for job_id in job_ids:
        driver.engine.cancel(job_id)
        driver.engine.cancel(job_id)
        driver.engine.pause(job_id)
        driver.engine.resume(job_id)
    assert driver.engine.stats().cache_usage == 0
    assert driver.engine.has_work()
    assert driver.engine.job_ids() == job_ids
    ends = [event for event in driver.step() if isinstance(event, Finished)]
    assert [(end.job_id, end.reason, end.ended) for end in ends] == [
        (job_id, "cancelled", [0, 1]) for job_id in job_ids
    ]
    driver.check_idle()
    driver.engine.cancel(999)
    driver.engine.pause(999)
    driver.engine.resume(999)
    assert not driver.engine.has_work()


def refusal(driver: Driver, prompt: Prompt, sampling: Sampling = GREEDY) -> JobError:
    with pytest.raises(JobError) as caught:
        driver.add(TextWork([TextPrompt("fine"), prompt], sampling))
    driver.check_idle()
    return caught.value


def test_too_long(llama: Path) -> None:
    error = refusal(Driver(llama, max_model_len=20), TokenPrompt(PROMPT * 2))
    assert (error.code, error.param) == ("context_length_exceeded", "prompt")
    assert "22" in error.message
    assert '20 (limit of model "test")' in error.message


def test_too_long_for_the_cache(llama: Path) -> None:
    driver = Driver(llama, **little_cache(llama, 4))
    assert driver.engine.limits.max_model_len == 16
    assert refusal(driver, TokenPrompt(PROMPT * 2)).code == "context_length_exceeded"
    assert driver.generate(PROMPT).reason == "length"


@pytest.mark.parametrize("token_id", [-1, 400, 1 << 40])
def test_unknown_token_ids(driver: Driver, token_id: int) -> None:
    error = refusal(driver, TokenPrompt([5, token_id]))
    assert (error.code, error.param) == ("bad_params", "prompt")
    assert str(token_id) in error.message


def test_the_template_may_refuse(driver: Driver) -> None:
    error = refusal(driver, ChatPrompt([ChatMessage("wizard", "hi")]))
    assert (error.code, error.param) == ("bad_params", "messages")
    assert "unknown role wizard" in error.message


def test_no_template(tmp_path: Path) -> None:
    driver = Driver(make_model(tmp_path, "llama", chat_template=None))
    assert not driver.engine.limits.has_chat_template
    error = refusal(driver, ChatPrompt([ChatMessage("user", "hi")]))
    assert (error.code, error.param) == ("bad_params", "messages")
    assert "no chat template" in error.message


def test_no_tokens_and_none_to_start_from(driver: Driver) -> None:
    for prompt in (TextPrompt(""), TokenPrompt([])):
        assert refusal(driver, prompt).code == "bad_params"


def test_no_tokens_start_from_the_first(tmp_path: Path) -> None:
    folder = make_model(tmp_path, "llama")
    tokenizer = make_tokenizer()
    tokenizer.bos_token = "<|start|>"
    tokenizer.save_pretrained(folder)
    driver = Driver(folder)
    job_id = driver.add(TextWork([TextPrompt("")], GREEDY))
    driver.run()
    assert driver.token_ids(job_id) == driver.generate([1]).token_ids


def test_overloaded(llama: Path) -> None:
    driver = Driver(llama, max_waiting=2, max_num_seqs=1)
    driver.add_tokens(PROMPT)
    driver.step()
    driver.add_tokens(PROMPT)
    driver.add_tokens(PROMPT)
    with pytest.raises(JobError) as caught:
        driver.add_tokens(PROMPT)
    assert caught.value.code == "engine_overloaded"
    driver.run()
    driver.generate(PROMPT)


def test_no_numbers_fail_one_job_only(llama: Path) -> None:
    """And what it leaves in the cache hurts nobody."""
    prompts = [PROMPT, PROMPT[:5], PROMPT[:3], PROMPT * 2]
    expected = [Driver(llama).generate(prompt, RANDOM).token_ids for prompt in prompts]
    driver = Driver(llama, block_tokens=8, prefix_cache=False)
    bad, good = driver.add_tokens(PROMPT * 3, RANDOM, n=2), driver.add_tokens(PROMPT, RANDOM)
    driver.step()
    assert 0 in driver.engine._jobs[bad].sequences[0].block_table
    driver.spoil(bad)
    driver.step()
    end = driver.transcripts[bad].end
    assert isinstance(end, Failed)
    assert end.code == "engine_failed"
    driver.run()
    assert driver.token_ids(good) == expected[0]
    again = [driver.add_tokens(prompt, RANDOM) for prompt in prompts]
    driver.run()
    assert [driver.token_ids(job_id) for job_id in again] == expected


@settings(max_examples=25, deadline=None)
@given(actions=ACTIONS, settings_=st.sampled_from([{}, {"max_batched_tokens": 5}, {"max_num_seqs": 2}]))
def test_any_schedule_ends_each_job_once(
    busy_driver: dict[str, Driver],
    llama: Path,
    actions: list[Action],
    settings_: dict[str, int],
) -> None:
    """Adds, steps, cancels, pauses and resumes in any order, with little memory."""
    if str(settings_) not in busy_driver:
        busy_driver[str(settings_)] = Driver(llama, **little_cache(llama, 20), **settings_)
    play(busy_driver[str(settings_)], actions, any_work)


def any_work(choice: int, size: int) -> TextWork:
    sampling = change(RANDOM, max_tokens=size, seed=size, stop=["a"] if size % 3 == 0 else [])
    return TextWork([TokenPrompt(PROMPT[: size % 9 + 1])], sampling, n=choice % 3 + 1)


@pytest.fixture(scope="module")
def busy_driver() -> dict[str, Driver]:
    return {}
