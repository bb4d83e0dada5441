"""Who may import whom (house.md, section 2), read from the source without running it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("config", "service", "workers", "client")
DOORS = {"workers.messages", "workers.errors", "workers.queues", "workers.process", "workers.trimming"}
# What a module may import of ours, by the longest prefix of its name. Lower floors are in all of them.
GROUND = {"config", "workers.messages", "workers.errors"}
MIDDLE = GROUND | {"workers.queues", "workers.engine"}
MIDDLE |= {"workers.hub", "workers.detokenizer", "workers.tool_calls", "workers.trimming"}
# No engine, but the folder of the weights that ship with the project.
WEIGHTS = "workers.embedded"
ALLOWED = {
    "config": {"config"},
    "service": {"config", "service"} | DOORS,
    "client": {"client"},
    "workers": MIDDLE,
    "workers.messages": {"config", "workers.messages"},
    "workers.errors": {"config"},
    "workers.queues": GROUND,
    "workers.engine": GROUND,
    "workers.hub": GROUND,
    "workers.detokenizer": set(),
    "workers.trimming": {"workers.messages"},
    "workers.tool_calls": {"workers.messages"},
    "workers.registry": MIDDLE,
    "workers.loop": MIDDLE,
    "workers.process": MIDDLE | {"workers.loop", "workers.registry"},
}


def modules() -> dict[str, Path]:
    paths = [path for folder in OURS for path in (ROOT / folder).rglob("*.py")]
    return {name_of(path): path for path in sorted(paths)}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Full names that a file imports, also inside functions, but for types only."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in [*tree.body]:
        if not is_for_types(node):
            yield from imports_below(node)


def imports_below(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            yield from (alias.name for alias in inner.names)
        elif isinstance(inner, ast.ImportFrom):
            assert not inner.level, "relative imports hide where one stands"
            yield from (f"{inner.module}.{alias.name}" for alias in inner.names)


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def edges() -> Iterator[tuple[str, str]]:
    """Pairs of modules of ours: who imports, and what."""
    known = modules()
    for name, path in known.items():
        for imported in imports(path):
            target = next((t for t in (imported, imported.rpartition(".")[0]) if t in known), None)
            if target:
                yield name, target


def family(name: str) -> str | None:
    """`workers.llm.attention.cache` belongs to the family `workers.llm`."""
    parent = ".".join(name.split(".")[:2])
    is_family = parent.startswith("workers.") and (ROOT / parent.replace(".", "/")).is_dir()
    return parent if is_family else None


def may_import(name: str, target: str) -> bool:
    prefixes = [name.rsplit(".", depth)[0] for depth in range(name.count(".") + 1)]
    allowed = next(ALLOWED[prefix] for prefix in prefixes if prefix in ALLOWED)
    own = {family(name)} - {None}
    return target == WEIGHTS or any(f"{target}.".startswith(f"{prefix}.") for prefix in allowed | own)


def test_imports_flow_downhill() -> None:
    wrong = [f"{name} -> {target}" for name, target in edges() if not may_import(name, target)]
    assert not wrong


def test_no_cycles() -> None:
    graph = TopologicalSorter[str]()
    for name, target in edges():
        if name != target:
            graph.add(name, target)
    graph.prepare()


def test_the_walls_hold() -> None:
    assert not may_import("service.app", "workers.loop")
    assert not may_import("service.app", "workers.llm.engine")
    assert not may_import("workers.llm.engine", "workers.echo.engine")
    assert not may_import("workers.engine", "workers.queues")
    assert not may_import("config.load", "service.app")
    assert not may_import("service.tasks", "workers.tasks.declare")
    assert may_import("workers.llm.engine", "workers.llm.attention.cache")


@pytest.mark.parametrize("module", ["service.app", "service.__main__", "workers.process", "workers.messages"])
def test_loads_no_tensor_library(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert module in loaded
    assert not loaded & {"torch", "numpy", "transformers", "diffusers", "openai", "anthropic"}
