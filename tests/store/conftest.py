"""A history in a temporary folder, and a turn as a session makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glmcli.store import Store, open_store


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "data" / "glm"


@pytest.fixture
def opened(home: Path) -> Iterator[Callable[[], Store]]:
    """Open the history, as often as you like; all are closed at the end."""
    stores: list[Store] = []

    def open_another() -> Store:
        stores.append(open_store(home))
        return stores[-1]

    yield open_another
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[], Store]) -> Store:
    """An open history."""
    return opened()
