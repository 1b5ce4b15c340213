"""What the tests on a terminal share: terminals that are closed after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.support.term import Term


@pytest.fixture
def open_term(tmp_path: Path) -> Iterator[Callable[..., Term]]:
    """`open_term("chat", "-m", "echo:")`: on a terminal, in a folder and home of its own."""
    with ExitStack() as terms:
        in_folder = partial(Term, home=tmp_path)
        yield lambda *arguments, **more: terms.enter_context(in_folder(*arguments, **more))
