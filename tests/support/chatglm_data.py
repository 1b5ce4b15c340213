"""Where the ChatGLM test data is: with the tests, or in a folder that may not be committed."""

from __future__ import annotations

import json
import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from glmcli.types import Message

HERE = Path(__file__).parents[1] / "data" / "chatglm"
BESIDE = Path(__file__).parents[3] / "shared" / "data"
ELSEWHERE = Path(os.environ.get("GLM_TEST_DATA") or BESIDE) / "chatglm3"
CHECKPOINTS = (
    "tiny-6b-safetensors",
    "tiny-6b-bin-sharded",
    "tiny-6b-32k-safetensors-sharded",
    "tiny-6b-32k-bin-sharded",
    "talker-tiny-32k-safetensors",
    "talker-tiny-32k-bin-sharded",
    "talker-6b-safetensors-sharded",
)
OTHERS = ("chatglm2-6b", "chatglm2-6b-32k", "glm4-chat", "glm4-1m")


def find(*parts: str) -> Path:
    """A file or folder of the test data. Skips the test if it is in neither place."""
    for root in (HERE, ELSEWHERE):
        if (path := root.joinpath(*parts)).exists():
            return path
    pytest.skip(f"{'/'.join(parts)} is neither with the tests nor in $GLM_TEST_DATA/chatglm3")


def folder_of(name: str) -> Path:
    """A checkpoint's folder. Skips the test if it is not on this machine."""
    return find("other_generations" if name in OTHERS else "checkpoints", name)


def copy_of(name: str, folder: Path, **config: Any) -> Path:
    """A checkpoint to spoil, in `folder`, with changes to its config."""
    copy = folder / name
    copy.mkdir()
    for file in folder_of(name).iterdir():
        shutil.copyfile(file, copy / file.name)
    path = copy / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return copy


@cache
def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def expected(name: str) -> Any:
    """What the original code did with a checkpoint."""
    same = {"talker-tiny-32k-bin-sharded": "talker-tiny-32k-safetensors"}
    return read_json(find("expected", f"{same.get(name, name)}.expected.json"))


def as_message(item: dict[str, Any]) -> Message:
    """A message as the original code writes it."""
    role = "tool" if item["role"] == "observation" else item["role"]
    tools = json.dumps(item["tools"]) if "tools" in item else ""
    return Message(role, item["content"], name=item.get("metadata", ""), tools=tools)


def as_messages(case: dict[str, Any]) -> list[Message]:
    """A recorded history and its query."""
    query = {"role": case.get("role", "user"), "content": case["query"]}
    return [as_message(item) for item in [*case["history"], query]]
