"""default.toml < file < environment < flags; what is wrong is said with source, key, value and limit."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.command_line import describe, load, parser, read_layers
from config.load import DEFAULT_FILE, ConfigError


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        path = tmp_path / "own.toml"
        path.write_text(text)
        return str(path)

    return write


def test_defaults_load() -> None:
    settings = load([], {})
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8080)
    assert settings.models["tiny"].path == "embedded"


def test_file_environment_and_flags_each_win_over_the_one_before(write: Any) -> None:
    config = ["--config", write("[http]\nport = 1001\nretry_ms = 7\n[log]\nlevel = 'DEBUG'\n")]
    assert load(config, {}).http.port == 1001
    environ = {"SLUICE__HTTP__PORT": "1002", "SLUICE__http__host": "::1", "OTHER": "x"}
    settings = load(config, environ)
    assert (settings.http.port, settings.http.host) == (1002, "::1")
    settings = load([*config, "--port", "1003", "--set", "http.host=::"], environ)
    assert (settings.http.port, settings.http.host) == (1003, "::")
    assert (settings.http.retry_ms, settings.log.level) == (7, "DEBUG")


def test_flags_for_the_model(write: Any) -> None:
    config = ["--config", write('[models.own]\npath = "x"\ndtype = "float16"\n')]
    assert list(load(config, {}).models) == ["own"]
    settings = load([*config, "--dtype", "bfloat16", "--device", "cuda:1", "--threads", "3"], {})
    assert (settings.models["own"].dtype, settings.models["own"].device) == ("bfloat16", "cuda:1")
    assert settings.workers.threads == 3
    settings = load([*config, "--model", "org/some-model", "--dtype", "float32"], {})
    assert {name: model.path for name, model in settings.models.items()} == {"some-model": "org/some-model"}
    assert settings.models["some-model"].dtype == "float32"
    assert list(load(["--model", "embedded"], {}).models) == ["tiny"]


def test_a_model_folder_gives_its_name_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "fine-model"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for path in (".", str(folder), f"{folder}/", "../fine-model"):
        assert list(load(["--model", path], {}).models) == ["fine-model"], path


def test_model_defaults_hold_unless_the_model_says_otherwise(write: Any) -> None:
    text = (
        "[model_defaults]\nmax_num_seqs = 3\n[models.a]\npath='a'\n[models.b]\npath='b'\nmax_num_seqs = 5\n"
    )
    settings = load(["--config", write(text)], {})
    assert [model.max_num_seqs for model in settings.models.values()] == [3, 5]


def test_environment_and_flags_add_models() -> None:
    settings = load(["--set", "models.second.path=x"], {"SLUICE__MODELS__THIRD__PATH": "y"})
    assert set(settings.models) == {"tiny", "pipeline", "image", "second", "third"}


def test_adapters_are_a_table_or_a_value(write: Any) -> None:
    path = write("[models.a]\npath = 'x'\n[models.a.adapters]\nPirate = 'folder'\n")
    assert load(["--config", path], {}).models["a"].adapters == {"Pirate": "folder"}
    environ = {"SLUICE__MODELS__TINY__ADAPTERS": "{ Pirate = 'org/name' }"}
    settings = load([], environ)
    assert settings.models["tiny"].adapters == {"Pirate": "org/name"}
    assert (settings.base_of("Pirate"), settings.adapter_of("Pirate")) == ("tiny", "Pirate")
    assert (settings.base_of("image"), settings.adapter_of("image")) == ("image", "")


@pytest.mark.parametrize(
    ("flags", "environ", "words"),
    [
        (["--port", "70000"], {}, ["flag --port", "http.port", "70000", "<= 65535"]),
        (["--port", "x"], {}, ["flag --port", "http.port", "'x'", "int"]),
        (["--threads", "-1"], {}, ["flag --threads", "workers.threads", "-1", ">= 0"]),
        (["--dtype", "float8"], {}, ["flag --dtype", "dtype", "float8"]),
        (["--device", "tpu"], {}, ["flag --device", "device", "tpu", "cuda"]),
        (["--set", "http.prot=1"], {}, ["flag --set", "http.prot", "did you mean 'http.port'"]),
        (["--set", "nonsense.port=1"], {}, ["flag --set", "nonsense", "http"]),
        (["--set", "http=1"], {}, ["flag --set", "'http'", "section"]),
        (["--set", "http.port"], {}, ["flag --set", "http.port", "SECTION.KEY=VALUE"]),
        (["--set", "http.port=true"], {}, ["http.port", "True", "int"]),
        (["--set", "http.port=1.5"], {}, ["http.port", "1.5", "int"]),
        (["--set", "streams.resume_ttl=0"], {}, ["streams.resume_ttl", "0", "> 0"]),
        (["--set", "streams.resume_ttl=nan"], {}, ["streams.resume_ttl", "nan"]),
        (["--set", "models.tiny.engine=magic"], {}, ["models.tiny.engine", "magic"]),
        (["--set", "models.ti ny.path=x"], {}, ["ti ny"]),
        (["--set", "streams.low_unread_bytes=9999999"], {}, ["low_unread_bytes", "9999999", "max_unread"]),
        (["--set", "store.kind=redis"], {}, ["flag --set", "store.kind", "redis"]),
        (["--set", "store.kind=sqlite"], {}, ["store.path", "sqlite", "file"]),
        (["--set", "store.max_bytes=2048"], {}, ["max_value_bytes", "store.max_bytes = 2048"]),
        (["--set", "documents.max_chars=600000"], {}, ["documents.max_chars = 600000", "507904"]),
        (["--set", "store.max_value_bytes=1048576"], {}, ["documents.max_chars = 400000", "at most 245760"]),
        (["--set", "models.tiny.adapters={'a b' = 'x'}"], {}, ["models.tiny.adapters", "a b"]),
        (["--set", "models.tiny.adapters={a = ''}"], {}, ["models.tiny.adapters", "length >= 1"]),
        (["--set", "models.tiny.adapters={image = 'x'}"], {}, ["models.tiny.adapters.image", "models.image"]),
        (["--set", "models.image.adapters={a = 'x'}"], {}, ["models.image.adapters", "diffusion", "llm"]),
        (
            ["--set", "models.b.adapters={a = 'x'}", "--set", "models.tiny.adapters={a = 'x'}"],
            {},
            ["models.b.adapters.a", "taken by models.tiny.adapters.a"],
        ),
        (
            ["--set", f"models.tiny.adapters={{{', '.join(f'a{n} = 1' for n in range(65))}}}"],
            {},
            ["models.tiny.adapters", "<= 64"],
        ),
        ([], {"SLUICE__HTTP__PORT": "-1"}, ["environment SLUICE__HTTP__PORT", "-1", ">= 0"]),
        ([], {"SLUICE__HTTP__PROT": "1"}, ["environment SLUICE__HTTP__PROT", "http.port"]),
        ([], {"SLUICE__HTTP": "1"}, ["SLUICE__HTTP", "section"]),
        ([], {"SLUICE__LIMITS__MAX_CHOICES": "129"}, ["max_choices", "129", "<= 128"]),
        (["--config", "no-such.toml"], {}, ["no-such.toml", "No such file"]),
    ],
)
def test_bad_settings_are_named(flags: list[str], environ: dict[str, str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(flags, environ)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[http]\nport = 'x'\n", ["http.port", "'x'"]),
        ("[http]\nprot = 1\n", ["http.prot", "http.port"]),
        ("http = 3\n", ["http", "section"]),
        ("[http\n", ["line 1"]),
        ("models = 3\n", ["models"]),
        ("[models.a]\npath = 'x'\ncolour = 1\n", ["models.a.colour", "path"]),
        ("[providers.up]\nkind = 'smtp'\nbase_url = 'https://x'\n", ["providers.up.kind", "smtp"]),
        ("[providers.up]\nkind = 'openai'\nbase_url = 'ftp://x'\n", ["providers.up.base_url", "ftp://x"]),
        ("[providers.up]\nkind = 'openai'\n", ["providers.up.base_url"]),
    ],
)
def test_bad_files_are_named(write: Any, text: str, words: list[str]) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load(["--config", path], {})
    for word in words:
        assert word in str(caught.value)


def test_secrets_come_from_files_and_are_masked(tmp_path: Path, write: Any) -> None:
    (tmp_path / "keys.toml").write_text('alice = "sk-alice"\n')
    (tmp_path / "key").write_text("sk-upstream\n")
    text = f"""
    [auth]
    keys_file = "{tmp_path}/keys.toml"
    keys = {{ bob = "sk-bob" }}
    [providers.up]
    kind = "openai"
    base_url = "https://x/v1"
    api_key_file = "{tmp_path}/key"
    [providers.other]
    kind = "anthropic"
    base_url = "https://y"
    api_key = "sk-other"
    """
    flags = ["--config", write(text)]
    environ = {"SLUICE__PROVIDERS__OTHER__API_KEY": "sk-fresh"}
    settings = load(flags, environ)
    assert settings.auth.keys == {"alice": "sk-alice", "bob": "sk-bob"}
    assert settings.providers["up"].api_key == "sk-upstream"
    assert settings.providers["other"].api_key == "sk-fresh"
    shown = describe(read_layers(parser().parse_args(flags), environ))
    assert "sk-" not in shown
    assert "providers.other.api_key = ***  # environment SLUICE__PROVIDERS__OTHER__API_KEY" in shown


def test_errors_about_secrets_do_not_tell_them(write: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        load(["--config", write("[auth]\nkeys = { alice = 12345 }\n")], {})
    assert "auth.keys" in str(caught.value)
    assert "12345" not in str(caught.value)


@pytest.mark.parametrize("content", ["alice = 3\n", "alice\n", '[alice]\nkey = "x"\n'])
def test_bad_files_of_keys_are_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=re.escape(str(path))):
        load(["--set", f"auth.keys_file={path}"], {})
    with pytest.raises(ConfigError, match="no-such"):
        load(["--set", "auth.keys_file=no-such"], {})


def test_missing_provider_key_file_is_named(write: Any) -> None:
    text = "[providers.up]\nkind='openai'\nbase_url='https://x'\napi_key_file='no-such'\n"
    with pytest.raises(ConfigError, match=r"providers.up.api_key_file.*no-such"):
        load(["--config", write(text)], {})


def test_every_setting_is_listed_and_explained() -> None:
    """A name, a value, and a comment that says the unit and why."""
    lines = DEFAULT_FILE.read_text("utf-8").splitlines()
    settings = [line for line in lines if re.match(r"^(# )?[a-z_]+ = ", line)]
    assert len(settings) > 60
    for line in settings:
        comment = line.partition("  # ")[2] or line[2:].partition(" # ")[2]
        assert line.startswith("path = ") or len(comment) > 10, line


def test_units_stand_in_comments() -> None:
    """A setting whose name says its unit says it in words too."""
    units = {
        "_s": "second",
        "_ms": "millisecond",
        "_bytes": "byte",
        "_tokens": "token",
        "_chars": "character",
    }
    for line in DEFAULT_FILE.read_text("utf-8").splitlines():
        name, _, rest = line.partition(" = ")
        unit = next((word for end, word in units.items() if name.endswith(end)), "")
        assert unit in rest, line


def test_print_config_shows_every_key_and_its_source() -> None:
    flags = ["--port", "1234", "--set", "log.level=DEBUG"]
    environ = {"SLUICE__HTTP__RETRY_MS": "5"}
    shown = describe(read_layers(parser().parse_args(flags), environ)).splitlines()
    assert "http.port = 1234  # flag --port" in shown
    assert 'log.level = "DEBUG"  # flag --set' in shown
    assert "http.retry_ms = 5  # environment SLUICE__HTTP__RETRY_MS" in shown
    assert any(line.startswith("http.host") and line.endswith("default.toml") for line in shown)
    names = tuple(line.partition(" = ")[0] for line in shown)
    table = tomllib.loads(DEFAULT_FILE.read_text("utf-8"))
    # A table may be one setting.
    assert [name for name in dotted_names(table) if not name.startswith(names)] == []


def dotted_names(table: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from dotted_names(value, f"{prefix}{name}.")
        elif value != {}:
            yield prefix + name
