"""Station "job": what a caller wishes, held against what he and the model may have."""

import secrets

from aiohttp import web
from msgspec import structs

from service.errors import BadParams, TooMany, Unavailable
from service.job import Job
from service.keys import CALLER, CATALOGUE, DISPATCHER, REQUEST_ID, SETTINGS, SUPERVISOR
from service.params.wishes import Wishes
from workers.messages import Limits, Sampling, TextWork, Work

SEED_BITS = 63
LOCAL = "local"
# An upstream judges for itself.
UNLIMITED = Limits(0, 0, 0, True, "upstream")


def admit(request: web.Request, wishes: Wishes, *, max_retries: int = 0) -> Job:
    """Make the job of a request for text.

    Raises BadParams for what the model cannot give, Unavailable while the model has never been
    ready, and as `admit_work` does.
    """
    is_local = wishes.provider == LOCAL
    limits = limits_of(request, wishes.model) if is_local else UNLIMITED
    sampling = _sampling(request, wishes, limits)
    work = TextWork(
        wishes.prompts,
        sampling,
        wishes.n,
        owner=request[CALLER],
        priority=wishes.priority,
        form=wishes.form,
        adapter=request.app[SETTINGS].adapter_of(wishes.model) if is_local else "",
    )
    return admit_work(request, wishes.model, work, provider=wishes.provider, max_retries=max_retries)


def admit_work(
    request: web.Request,
    model: str,
    work: Work,
    *,
    provider: str = LOCAL,
    max_retries: int = 0,
    is_endless: bool = False,
) -> Job:
    """Make the job of a request. Raises TooMany when the key has enough streams open.

    Nothing runs for ever: an endless job has the longest time that a request may ask for.
    """
    _check_room(request)
    longest_s = request.app[SETTINGS].limits.max_timeout_s if is_endless else None
    return Job(
        id=request.app[DISPATCHER].next_job_id(),
        key=request[CALLER],
        route=request.path,
        model=model,
        provider=provider,
        work=work,
        request_id=request[REQUEST_ID],
        timeout_s=_timeout_s(request) or longest_s,
        is_resumable=wants_resume(request),
        is_endless=is_endless,
        max_retries=max_retries,
    )


def limits_of(request: web.Request, model: str) -> Limits:
    """What the model can take. Raises Unavailable while that is not known."""
    limits = request.app[SUPERVISOR].limits(model)
    if limits is None:
        complaints = "; ".join(request.app[SUPERVISOR].complaints())
        raise Unavailable(f"not ready: {complaints}", code="model_not_ready", retry_after_s=5)
    return limits


def wants_resume(request: web.Request) -> bool:
    """Whether the stream is to go on into its log when its reader goes."""
    return "1" in (request.headers.get("X-Stream-Resumable"), request.query.get("resumable"))


def _sampling(request: web.Request, wishes: Wishes, limits: Limits) -> Sampling:
    sampling, max_len = wishes.sampling, limits.max_model_len
    if max_len and wishes.max_tokens is not None and wishes.max_tokens > max_len:
        message = (
            f'{wishes.max_tokens_field} {wishes.max_tokens} > {max_len} (limit of model "{wishes.model}")'
        )
        raise BadParams(message, param=wishes.max_tokens_field, status=wishes.bad_status)
    default = request.app[SETTINGS].limits.default_max_tokens
    max_tokens = wishes.max_tokens if wishes.max_tokens is not None else min(default, max_len or default)
    if sampling.min_tokens > max_tokens:
        message = f"min_tokens {sampling.min_tokens} > {max_tokens} ({wishes.max_tokens_field})"
        raise BadParams(message, param="min_tokens", status=wishes.bad_status)
    seed = sampling.seed if sampling.seed is not None else secrets.randbits(SEED_BITS)
    return Sampling(**(structs.asdict(sampling) | {"max_tokens": max_tokens, "seed": seed}))


def _check_room(request: web.Request) -> None:
    num_open = request.app[CATALOGUE].num_open(request[CALLER])
    limit = request.app[SETTINGS].limits.max_streams_per_key
    if num_open >= limit:
        raise TooMany(
            f"{num_open} streams open >= {limit} (limits.max_streams_per_key)", code="too_many_streams"
        )


def _timeout_s(request: web.Request) -> float | None:
    text = request.headers.get("X-Request-Timeout")
    if text is None:
        return None
    limit = request.app[SETTINGS].limits.max_timeout_s
    try:
        timeout_s = float(text)
    except ValueError:
        timeout_s = 0.0
    if not 0 < timeout_s <= limit:
        message = f"X-Request-Timeout {text[:40]!r}: expected seconds, more than 0 and at most {limit}"
        raise BadParams(message, param="X-Request-Timeout", status=400)
    return timeout_s
