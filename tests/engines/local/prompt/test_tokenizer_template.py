"""What a tokenizer is given that does not read it itself."""

import json
from types import SimpleNamespace

import pytest

from glmcli.engines.local.prompt.tokenizer import take_template_beside

BESIDE, OWN = "{{ messages }}", "{{ bos_token }}"


@pytest.mark.parametrize(
    ("own", "beside", "taken"),
    [(None, BESIDE, BESIDE), ("", BESIDE, BESIDE), (OWN, BESIDE, OWN), (None, None, None)],
)
def test_a_template_in_a_file_of_its_own_is_taken_where_there_is_no_other(
    own, beside, taken, tmp_path
):
    if beside is not None:
        (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": beside}))
    tokenizer = SimpleNamespace(chat_template=own)
    take_template_beside(tokenizer, tmp_path)
    assert tokenizer.chat_template == taken


def test_a_file_without_a_template_gives_none(tmp_path):
    (tmp_path / "chat_template.json").write_text("{}")
    tokenizer = SimpleNamespace(chat_template=None)
    take_template_beside(tokenizer, tmp_path)
    assert tokenizer.chat_template is None
