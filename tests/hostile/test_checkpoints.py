"""A checkpoint may hold anything: opening it ends by itself, with one line and a hint.

The always-run part opens the folders in this process, as far as can be without torch. The whole
corpus asks each of them a question, in a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from glmcli.config.models import Cache, ModelOptions
from glmcli.errors import ModelError
from glmcli.models.checkpoint import open_folder
from glmcli.models.library.listing import describe_all
from glmcli.models.library.showing import describe
from tests.hostile import healthy
from tests.hostile.checkpoints import every_case
from tests.hostile.running import Outcome, Runner
from tests.hostile.spoiling import Case

CASES = every_case()
LIGHT = [case for case in CASES if not case.is_heavy and case.base is not healthy.write_bin]
QUICK = [case for case in LIGHT if not case.needs_library][::3]
"""A third of those that need no torch to be made, nor to be found out."""
ASK = ("ask", "hi", "--temperature", "0", "--max-tokens", "4")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the healthy checkpoints."""
    return tmp_path_factory.mktemp("healthy")


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as started:
        yield started


def refused(folder: Path, options: ModelOptions) -> ModelError | None:
    """The refusal of a folder, if it is one before anything is loaded."""
    try:
        open_folder(folder, name="model", options=options)
    except ModelError as exc:
        return exc
    return None


def test_the_healthy_ones_are_opened(tmp_path: Path, copies: Path):
    for case in QUICK:
        if not (copies / case.base.__name__).exists():
            case.base(copies / case.base.__name__)
    for folder in copies.iterdir():
        assert refused(folder, ModelOptions(cache=Cache(tmp_path))) is None


def test_what_is_wrong_is_said_before_anything_is_loaded(tmp_path: Path, copies: Path):
    options = ModelOptions(cache=Cache(tmp_path))
    for number, case in enumerate(QUICK):
        folder = case.write(tmp_path / str(number), copies)
        started = time.process_time()
        error = refused(folder, options)
        assert time.process_time() - started < 1, case.name
        assert error or not case.said, case.name
        if error:
            assert case.said in error.message, case.name
            assert error.hint and "\n" not in error.message, case.name


def test_lists_of_models_survive_them_all(tmp_path: Path, copies: Path):
    options = ModelOptions(cache=Cache(tmp_path))
    for number, case in enumerate(QUICK):
        case.write(tmp_path / "models" / str(number), copies)
    shown = {model.name for model in describe_all(options)}
    assert shown == {"smollm2", *map(str, range(len(QUICK)))}
    for number, case in enumerate(QUICK):
        details = describe(str(number), options)
        assert details.problem or not case.said, case.name


def answer(folder: Path, where: Path, runner: Runner) -> Outcome:
    """What a checkpoint says, in a home of its own."""
    env = {"GLM_HOME": str(where / "home"), "GLM_CACHE": str(where / "cache")}
    return runner.run([*ASK, "-m", str(folder)], where, env=env)


@pytest.fixture(scope="module")
def right(copies: Path, runner: Runner) -> dict[str, str]:
    """What the healthy checkpoints say."""
    found = {}
    for base in {case.base for case in CASES}:
        if not (copies / base.__name__).exists():
            base(copies / base.__name__)
        found[base.__name__] = answer(copies / base.__name__, copies.parent, runner).out
    return found


@pytest.mark.hostile
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_question_to_it_ends_in_one_line_and_a_hint(
    case: Case, tmp_path: Path, copies: Path, right: dict[str, str], runner: Runner
):
    done = answer(case.write(tmp_path / "model", copies), tmp_path, runner)
    codes = (0, 3) if case.is_harmless else (3,)
    assert done.faults(*codes, said=case.said) == [], done
    assert done.code or done.out == right[case.base.__name__]
    assert not list(tmp_path.glob("**/PWNED"))
