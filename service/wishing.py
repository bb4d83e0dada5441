"""Params -> wishes: each API's words for a model, a prompt and a length, in the words of a job."""

from aiohttp import web
from msgspec import structs

from service.admission import LOCAL, limits_of
from service.bounds import Bounds
from service.chat.sessions import joined, num_chars
from service.errors import NotFound
from service.keys import CALLER, SESSIONS, SETTINGS
from service.params.native import ChatParams, PromptParams
from service.params.openai import ChatCompletionParams, CompletionParams
from service.params.wishes import Wishes
from workers.messages import ChatMessage, ChatPrompt, Prompt, TextPrompt

# The limit of all prompts together, and what it counts.
CHARS = ("max_prompt_chars", "characters")


def wish_prompt(request: web.Request, params: PromptParams) -> Wishes:
    """A prompt is answered as a chat where the model knows how; else, or when `raw`, continued."""
    model = resolve_model(request, params.model)
    Bounds(request).check("prompt", len(params.prompt), *CHARS)
    is_chat = not params.raw and limits_of(request, model).has_chat_template
    prompt = _user(params.prompt) if is_chat else TextPrompt(params.prompt)
    return Wishes(model, [prompt], params.sampling(), params.max_tokens)


async def wish_chat(request: web.Request, params: ChatParams) -> Wishes:
    """One message of a user, for this service's own workers or a configured upstream."""
    model = check_chat(request, params)
    sessions, session_id = request.app[SESSIONS], params.session_id
    history = await sessions.history(request[CALLER], session_id) if session_id else []
    messages = joined(history, [*params.system_messages(), ChatMessage("user", params.message)])
    prompt = ChatPrompt(messages, trims=session_id is not None)
    return Wishes(model, [prompt], params.sampling(), params.max_tokens, provider=params.provider)


def check_chat(request: web.Request, params: ChatParams) -> str:
    """The model that is to answer. Raises NotFound, and BadParams for a message that is too long."""
    model = _provided_model(request, params)
    Bounds(request).check("message", len(params.message), *CHARS)
    Bounds(request).check("system", len(params.system or ""), *CHARS)
    return model


def _provided_model(request: web.Request, params: ChatParams) -> str:
    """The model that the provider is to use. Raises NotFound when either is unknown."""
    if params.provider == LOCAL:
        return resolve_model(request, params.model)
    providers = request.app[SETTINGS].providers
    if params.provider not in providers:
        names = ", ".join([LOCAL, *providers])
        message = f"$.provider: {params.provider[:80]!r} is unknown; there is: {names}"
        raise NotFound(message, code="model_not_found", param="provider")
    known = providers[params.provider].models
    model = params.model or next(iter(known), None)
    if model is None or (known and model not in known):
        there_is = ", ".join(known) or "any; name one"
        message = f"$.model: {model!r} is unknown to provider {params.provider!r}; there is: {there_is}"
        raise NotFound(message, code="model_not_found", param="model")
    return model


def wish_chat_completion(request: web.Request, params: ChatCompletionParams) -> Wishes:
    params.check()
    prompt = params.chat_prompt()
    bounds = Bounds(request, 400)
    bounds.check("messages", len(prompt.messages), "max_messages")
    bounds.check("messages", sum(map(num_chars, prompt.messages)), *CHARS)
    bounds.check("tools", sum(map(len, prompt.tools)), "max_prompt_chars", "bytes")
    is_new_name = params.max_completion_tokens is not None
    max_tokens = params.max_completion_tokens if is_new_name else params.max_tokens
    field = "max_completion_tokens" if is_new_name else "max_tokens"
    return structs.replace(_openai(request, params, [prompt], max_tokens, field), form=params.form)


def wish_completion(request: web.Request, params: CompletionParams) -> Wishes:
    params.check()
    prompts = params.prompts()
    bounds = Bounds(request, 400)
    bounds.check("prompt", len(prompts), "max_prompts")
    bounds.check("prompt", sum(len(p.text) for p in prompts if isinstance(p, TextPrompt)), *CHARS)
    return _openai(request, params, prompts, params.max_tokens, "max_tokens")


def _openai(
    request: web.Request,
    params: ChatCompletionParams | CompletionParams,
    prompts: list[Prompt],
    max_tokens: int | None,
    field: str,
) -> Wishes:
    n = params.n or 1
    Bounds(request, 400).check("n", n, "max_choices")
    model = resolve_model(request, params.model)
    return Wishes(
        model,
        prompts,
        params.sampling(),
        max_tokens,
        n,
        max_tokens_field=field,
        bad_status=400,
        priority=params.priority or 0,
    )


def resolve_model(request: web.Request, name: str | None) -> str:
    """The text model, or adapter, of that name; the first configured model when none is named.

    Raises NotFound.
    """
    models = text_models(request)
    name = name if name is not None else next(iter(models), "")
    if name not in models:
        known = ", ".join(models) or "no model that answers prompts"
        raise NotFound(
            f"$.model: {name[:80]!r} is unknown; there is: {known}", code="model_not_found", param="model"
        )
    return name


def text_models(request: web.Request) -> list[str]:
    """The configured models that answer prompts, in order, each before its adapters."""
    models = request.app[SETTINGS].models
    return [name for base, model in models.items() if model.is_text for name in (base, *model.adapters)]


def _user(text: str) -> ChatPrompt:
    return ChatPrompt([ChatMessage("user", text)])
