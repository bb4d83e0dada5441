"""The flags of `python -m service`, and the settings that come of all layers together."""

import argparse
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from config.load import DEFAULT_FILE, ConfigError, Key, Layers, dotted, is_secret, lay_environment, read_toml
from config.settings import DocumentSettings, ProviderSettings, Settings, StoreSettings

FLAGS: dict[str, tuple[Key, str]] = {
    "host": (("http", "host"), "address to listen on"),
    "port": (("http", "port"), "TCP port to listen on; 0 lets the system choose"),
    "threads": (("workers", "threads"), "compute threads per worker; 0 leaves a core to the service"),
}
# What a stored document holds beside its text: its last operations' ids.
RECORD_BYTES = 65_536

MODEL_FLAGS = {
    "dtype": "auto, float32, bfloat16 or float16",
    "device": "auto, cpu, cuda, cuda:N or mps",
}


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(
        prog="python -m service", description="Stream AI inference while it happens."
    )
    flags.add_argument("--config", type=Path, metavar="FILE", help="a TOML file laid over default.toml")
    flags.add_argument("--model", help='the one model to serve: a folder, a hub id, or "embedded"')
    for name, (_, text) in FLAGS.items():
        flags.add_argument(f"--{name}", help=text)
    for name, text in MODEL_FLAGS.items():
        flags.add_argument(f"--{name}", help=text)
    flags.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="any other setting"
    )
    flags.add_argument(
        "--print-config", action="store_true", help="show each value and where it came from, and leave"
    )
    return flags


def read_layers(flags: argparse.Namespace, environ: Mapping[str, str]) -> Layers:
    """Lay default.toml, the user's file, the environment and the flags. Raises ConfigError."""
    layers = Layers()
    layers.lay_file(DEFAULT_FILE)
    if flags.config:
        layers.lay_file(flags.config)
    lay_environment(layers, environ)
    _lay_flags(layers, flags)
    return layers


def load(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Return the settings in force, secrets read from their files. Raises ConfigError."""
    return finish(read_layers(parser().parse_args(argv), environ))


def finish(layers: Layers) -> Settings:
    """Build, read the secret files and check what no single field can. Raises ConfigError."""
    settings = layers.build()
    if not settings.models:
        raise ConfigError("models: none is configured; at least one is needed")
    _check_adapters(settings)
    _check_order(settings)
    _check_store(settings.store)
    _check_documents(settings.documents, settings.store)
    return _with_secrets(settings)


def _check_adapters(settings: Settings) -> None:
    """Clients name them as they name models."""
    owners = {name: f"models.{name}" for name in settings.models}
    for model, its in settings.models.items():
        if its.adapters and its.engine != "llm":
            message = (
                f'models.{model}.adapters: expected none with engine = "{its.engine}", only "llm" has them'
            )
            raise ConfigError(message)
        for name in its.adapters:
            if name in owners:
                raise ConfigError(f"models.{model}.adapters.{name}: the name is taken by {owners[name]}")
            owners[name] = f"models.{model}.adapters.{name}"


def _check_order(settings: Settings) -> None:
    """A stream's bounds build on each other."""
    names = ("low_unread_bytes", "max_unread_bytes", "max_log_bytes")
    for low, high in pairwise(names):
        low_value, high_value = getattr(settings.streams, low), getattr(settings.streams, high)
        if low_value >= high_value:
            raise ConfigError(f"streams.{low} = {low_value}: must be below streams.{high} = {high_value}")
    sockets = settings.sockets
    for low, high in (
        ("low_unsent_bytes", "max_unsent_bytes"),
        ("ping_interval_s", "silence_timeout_s"),
    ):
        low_value, high_value = getattr(sockets, low), getattr(sockets, high)
        if low_value >= high_value:
            raise ConfigError(f"sockets.{low} = {low_value}: must be below sockets.{high} = {high_value}")


def _check_store(store: StoreSettings) -> None:
    if store.kind == "sqlite" and not store.path:
        raise ConfigError("store.path = '': store.kind = 'sqlite' needs a file")
    for name in ("max_value_bytes", "max_unsaved_bytes"):
        if getattr(store, name) > store.max_bytes:
            raise ConfigError(
                f"store.{name} = {getattr(store, name)}: must be at most store.max_bytes = {store.max_bytes}"
            )


def _check_documents(documents: DocumentSettings, store: StoreSettings) -> None:
    """A document that can be edited can be stored: at most 4 bytes a code point, or its Yjs history."""
    room = store.max_value_bytes - RECORD_BYTES
    for name, value, limit in (
        ("max_chars", documents.max_chars, room // 4),
        ("max_yjs_bytes", documents.max_yjs_bytes, room),
    ):
        if value > limit:
            raise ConfigError(
                f"documents.{name} = {value}: must be at most {limit} with store.max_value_bytes = "
                f"{store.max_value_bytes}"
            )


def describe(layers: Layers) -> str:
    """One line per setting: key, value (secrets masked), source."""
    finish(layers)
    lines = []
    for key, origin in layers.origins.items():
        value = "***" if is_secret(key) and origin.value else _show(origin.value)
        lines.append(f"{dotted(key)} = {value}  # {origin.source}")
    return "\n".join(lines)


def _show(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _lay_flags(layers: Layers, flags: argparse.Namespace) -> None:
    if flags.model is not None:
        layers.drop_models()
        layers.lay(("models", _model_name(flags.model), "path"), flags.model, "flag --model")
    for name, (key, _) in FLAGS.items():
        if getattr(flags, name) is not None:
            layers.lay_text(key, getattr(flags, name), f"flag --{name}")
    for name in MODEL_FLAGS:
        if getattr(flags, name) is not None:
            _lay_on_models(layers, name, getattr(flags, name))
    for assignment in flags.set:
        _lay_assignment(layers, assignment)


def _model_name(path: str) -> str:
    """What clients call it: the last part of a hub id, or of a folder, also one written as `.`."""
    if path == "embedded":
        return "tiny"
    return Path(path).resolve().name if Path(path).is_dir() else Path(path).name


def _lay_on_models(layers: Layers, field: str, text: str) -> None:
    layers.lay_text(("model_defaults", field), text, f"flag --{field}")
    for key in [key for key in layers.origins if key[0] == "models" and key[2] == field]:
        layers.lay_text(key, text, f"flag --{field}")


def _lay_assignment(layers: Layers, assignment: str) -> None:
    name, equals, text = assignment.partition("=")
    if not equals:
        raise ConfigError(f"flag --set {assignment}: expected SECTION.KEY=VALUE")
    layers.lay_text(tuple(name.strip().split(".")), text.strip(), "flag --set")


def _with_secrets(settings: Settings) -> Settings:
    keys = dict(settings.auth.keys)
    if settings.auth.keys_file:
        keys |= _read_keys(Path(settings.auth.keys_file))
    auth = msgspec.structs.replace(settings.auth, keys=keys)
    providers = {name: _with_key(name, provider) for name, provider in settings.providers.items()}
    return msgspec.structs.replace(settings, auth=auth, providers=providers)


def _read_keys(path: Path) -> dict[str, str]:
    try:
        return msgspec.convert(read_toml(path), dict[str, str])
    except msgspec.ValidationError:
        raise ConfigError(f'{path}: every line must be `name = "key"`') from None


def _with_key(name: str, provider: ProviderSettings) -> ProviderSettings:
    if not provider.api_key_file:
        return provider
    try:
        key = Path(provider.api_key_file).read_text("utf-8").strip()
    except OSError as error:
        raise ConfigError(f"providers.{name}.api_key_file: {error}") from None
    return msgspec.structs.replace(provider, api_key=key)
