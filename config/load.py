"""Merges the layers of settings: default.toml < file < environment < flags, and says who won."""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import msgspec

from config.settings import Settings

DEFAULT_FILE = Path(__file__).with_name("default.toml")
ENV_PREFIX = "SLUICE__"

Key = tuple[str, ...]


class ConfigError(Exception):
    """A setting that stops the start; the message names source, key, value and limit."""


class Origin(msgspec.Struct, frozen=True):
    """A raw value and the layer it came from."""

    value: Any
    source: str


class Layers:
    """The winning raw value of every key, layer laid over layer."""

    def __init__(self) -> None:
        self.origins: dict[Key, Origin] = {}

    def lay_file(self, path: Path) -> None:
        """Lay a TOML file on top. One that has models replaces the list of models.

        Raises ConfigError when it cannot be read, is not TOML or names an unknown key.
        """
        table = read_toml(path)
        if table.get("models"):
            self.drop_models()
        for key, value in _flatten(table, Settings, ()):
            self.lay(key, value, str(path))

    def lay_text(self, key: Key, text: str, source: str) -> None:
        """Lay one value that came as text (environment, flag): TOML where it parses, else a string."""
        self.lay(key, text if _is_text(_leaf_type(key, source)) else _parse(text), source)

    def lay(self, key: Key, value: Any, source: str) -> None:
        _leaf_type(key, source)
        self.origins[key] = Origin(value, source)

    def drop_models(self) -> None:
        for key in [key for key in self.origins if key[0] == "models"]:
            del self.origins[key]

    def build(self) -> Settings:
        """Return the validated settings. Raises ConfigError naming the first bad key."""
        built: Any = _build(Settings, (), self._with_model_defaults())
        return built  # type: ignore[no-any-return]

    def _with_model_defaults(self) -> dict[Key, Origin]:
        complete = dict(self.origins)
        defaults = {key[1:]: origin for key, origin in self.origins.items() if key[0] == "model_defaults"}
        for name in {key[1]: None for key in self.origins if key[0] == "models"}:
            for below, origin in defaults.items():
                complete.setdefault(("models", name, *below), origin)
        return complete


def read_toml(path: Path) -> dict[str, Any]:
    """Parse one TOML file. Raises ConfigError when it is missing, unreadable or not TOML."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None


def lay_environment(layers: Layers, environ: Mapping[str, str]) -> None:
    """Lay every `SLUICE__SECTION__KEY` over what is there. Names are read without regard to case."""
    for name in sorted(environ):
        if name.startswith(ENV_PREFIX):
            key = tuple(name[len(ENV_PREFIX) :].lower().split("__"))
            layers.lay_text(key, environ[name], f"environment {name}")


def dotted(key: Key) -> str:
    return ".".join(key)


def _flatten(table: Mapping[str, Any], kind: Any, prefix: Key) -> Iterator[tuple[Key, Any]]:
    for name, value in table.items():
        key, inner = (*prefix, name), _child(kind, name)
        if inner is not None and _is_branch(inner) and isinstance(value, dict):
            yield from _flatten(value, inner, key)
        else:
            yield key, value


def _child(kind: Any, name: str) -> Any:
    """The type below `name`, or None when there is none."""
    if _is_struct(kind):
        return next((f.type for f in msgspec.structs.fields(kind) if f.name == name), None)
    return get_args(kind)[1]


def _leaf_type(key: Key, source: str) -> Any:
    kind: Any = Settings
    for depth, name in enumerate(key):
        inner = _child(kind, name) if _is_branch(kind) else None
        if inner is None:
            raise ConfigError(f"{source}: unknown setting {dotted(key)!r}{_suggest(kind, key, depth)}")
        kind = inner
    if _is_branch(kind):
        raise ConfigError(f"{source}: {dotted(key)!r} is a section, not a setting")
    return kind


def _suggest(kind: Any, key: Key, depth: int) -> str:
    names = [f.name for f in msgspec.structs.fields(kind)] if _is_struct(kind) else []
    close = difflib.get_close_matches(key[depth], names, 1)
    if close:
        return f"; did you mean {dotted((*key[:depth], close[0]))!r}?"
    return f"; {dotted(key[:depth]) or 'the top level'} has: {', '.join(names)}" if names else ""


def _build(kind: Any, prefix: Key, origins: Mapping[Key, Origin]) -> Any:
    if _is_struct(kind):
        fields = msgspec.structs.fields(kind)
        values = {
            f.name: _build(f.type, (*prefix, f.name), origins) for f in fields if _is_set(f, prefix, origins)
        }
        return kind(**values)
    if _is_branch(kind):
        names = {key[len(prefix)]: None for key in origins if key[: len(prefix)] == prefix}
        return {
            _name(kind, name, prefix): _build(get_args(kind)[1], (*prefix, name), origins) for name in names
        }
    return _convert(kind, prefix, origins)


def _is_set(field: msgspec.structs.FieldInfo, prefix: Key, origins: Mapping[Key, Origin]) -> bool:
    return field.required or (*prefix, field.name) in origins


def _name(kind: Any, name: str, prefix: Key) -> str:
    try:
        return msgspec.convert(name, get_args(kind)[0])  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        raise ConfigError(f"{dotted(prefix)}.{name!r}: {error}") from None


def _convert(kind: Any, key: Key, origins: Mapping[Key, Origin]) -> Any:
    origin = origins.get(key)
    if origin is None:
        raise ConfigError(f"{dotted(key)!r} is not set; {DEFAULT_FILE.name} or your file must give it")
    try:
        return msgspec.convert(origin.value, kind)
    except msgspec.ValidationError as error:
        shown = "***" if is_secret(key) else repr(origin.value)
        raise ConfigError(f"{origin.source}: {dotted(key)} = {shown}: {error}") from None


def is_secret(key: Key) -> bool:
    """Whether the value of this key must never be printed."""
    return any(
        (meta.extra or {}).get("secret", False)
        for meta in getattr(_leaf_type(key, ""), "__metadata__", ())
        if isinstance(meta, msgspec.Meta)
    )


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _is_branch(kind: Any) -> bool:
    """Whether keys go on below: a section, or a table of named sections."""
    return _is_struct(kind) or (get_origin(kind) is dict and _is_struct(get_args(kind)[1]))


def _is_text(kind: Any) -> bool:
    bare = _bare(kind)
    literals = get_args(bare)
    return bare is str or bool(
        literals and all(isinstance(x, str) for x in literals) and get_origin(bare) is not dict
    )


def _parse(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
