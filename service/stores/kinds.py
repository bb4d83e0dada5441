"""The kinds of stores that the settings may name."""

from config.settings import StoreSettings
from service.stores.memory import MemoryStore
from service.stores.sqlite import SqliteStore
from service.stores.store import Store


def make_store(settings: StoreSettings) -> Store:
    """The store that the settings want, not yet started."""
    match settings.kind:
        case "memory":
            return MemoryStore(settings)
        case "sqlite":
            return SqliteStore(settings)
