"""What counts as the work of a checkpoint, where libraries read its config.json."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from glmcli.engines.local import building
from glmcli.errors import ModelError

CHECKPOINT = SimpleNamespace(
    family="llama", folder="folder", remote_code=False, name="tiny", packing=None, stored={}
)


def busy(cpu_s: float) -> None:
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass


def library(*, import_s: float = 0, read_s: float = 0) -> SimpleNamespace:
    """Something like transformers: its classes take time to import, and to read a file."""

    imported = []

    class Classes(dict):
        def __getitem__(self, family):
            if not imported:
                imported.append(family)
                busy(import_s)
            return family

    class AutoConfig:
        @staticmethod
        def from_pretrained(folder, **options):
            assert classes["llama"]
            busy(read_s)
            return {"folder": folder}

    classes = Classes(llama=None)
    return SimpleNamespace(CONFIG_MAPPING=classes, AutoConfig=AutoConfig)


@pytest.fixture(autouse=True)
def little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "BUILD_S", 0.2)


def test_what_a_new_installation_compiles_is_not_counted():
    slow = library(import_s=0.6)
    assert building.library_config(CHECKPOINT, slow) == {"folder": "folder"}


def test_what_config_json_asks_for_is_counted():
    with pytest.raises(ModelError, match="takes too long"):
        building.library_config(CHECKPOINT, library(read_s=0.6))
