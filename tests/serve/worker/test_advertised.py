"""The template that a worker advertises is the model's own, or it is none."""

from __future__ import annotations

import dataclasses
import json

import pytest

from glmcli.engines.echo import EchoEngine
from glmcli.engines.local.engine import LocalEngine
from glmcli.engines.local.net.plain.reader import model_of
from glmcli.engines.local.prompt.chatglm.template import ChatGLM2Template, load_template
from glmcli.engines.local.prompt.template import ChatTemplate
from glmcli.errors import ModelError
from glmcli.serve.worker.advertised import TRIED, Proven, advertised_for
from glmcli.types import Message
from tests.support import templates, tiny
from tests.support.chatglm_data import folder_of
from tests.support.tiny_chat import NET, tokenizer_of

fastchat = pytest.importorskip("fastchat.conversation", reason="the real FastChat is not installed")

CHATML = ("<|im_start|>", "<|im_end|>")
PLAIN_CHATML = """{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}\
{{ '<|im_end|>\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
LLAMA3 = templates.LLAMA3.replace(" | trim", "")
LLAMA3_TOKENS = ("<|begin|>", "<|header|>", "<|end_header|>", "<|eot|>")
GLM4_TOKENS = ("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
MISTRAL = """<s>{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}\
{% elif m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}\
{% else %}{{ ' ' + m.content + '</s>' }}{% endif %}{% endfor %}"""
BRACES = PLAIN_CHATML.replace("<|im_start|>' + m.role", "<|im_start|>{x}' + m.role")


def engine_of(template) -> LocalEngine:
    return LocalEngine("tiny", model_of(NET), template, context_tokens=1024)


def chat_template(source: str, *tokens: str) -> ChatTemplate:
    return ChatTemplate(tokenizer_of(source, tiny.byte_level(*tokens)))


def chatglm3():
    folder = folder_of("tiny-6b-safetensors")
    return load_template(json.loads((folder / "config.json").read_text()), folder, name="x")


MADE = {
    "with a system prompt of its own": lambda: chat_template(templates.CHATML, *CHATML),
    "chatml": lambda: chat_template(PLAIN_CHATML, *CHATML),
    "llama 3": lambda: chat_template(LLAMA3, *LLAMA3_TOKENS),
    "glm 4": lambda: chat_template(templates.GLM4, *GLM4_TOKENS),
    "mistral": lambda: chat_template(MISTRAL, "<s>", "</s>", "[INST]", "[/INST]"),
    "chatglm2": lambda: ChatGLM2Template(chatglm3().tokenizer),
    "chatglm3": chatglm3,
}
UNEQUAL = {
    "blanks around": lambda: chat_template(templates.LLAMA3, *LLAMA3_TOKENS),
    "one question": lambda: chat_template(templates.REASONER, *CHATML),
    "a system prompt": lambda: chat_template(BRACES, *CHATML),
}


def as_clients_write(conv, messages) -> str:
    """What the real FastChat makes of a template that came over the wire."""
    fields = json.loads(json.dumps(conv))
    fields["sep_style"] = fastchat.SeparatorStyle(fields["sep_style"])
    real = fastchat.Conversation(**fields)
    for message in messages:
        if message.role == "system":
            real.set_system_message(message.text)
        else:
            real.append_message(real.roles[message.role == "assistant"], message.text)
    real.append_message(real.roles[1], None)
    return real.get_prompt()


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_what_fastchat_writes_is_read_as_the_model_s_own_template_writes_it(make):
    engine = engine_of(make())
    found = advertised_for(engine)
    others = ("other words", (Message("user", "a{b}c"), Message("assistant", "d"), TRIED[0][1][0]))
    for _, messages in (*TRIED, others):
        sent = found.as_read(as_clients_write(found.conv, messages))
        assert list(engine.prompt_ids([sent])) == list(engine.prompt_ids(messages))
        assert sent.role == "rendered"


@pytest.mark.parametrize("name", sorted({*MADE} - {"chatglm2"}))
def test_what_is_advertised_means_the_same_in_all_versions_of_fastchat(name):
    conv = advertised_for(engine_of(MADE[name]())).conv
    assert conv["sep_style"] <= fastchat.SeparatorStyle.LLAMA2  # others have moved
    assert list(conv) == list(fastchat.Conversation.__dataclass_fields__)


def test_a_system_prompt_of_the_model_s_own_is_advertised():
    conv = advertised_for(engine_of(chat_template(templates.CHATML, *CHATML))).conv
    assert conv["system_message"] == "You are small"


def test_clients_that_go_by_fastchat_s_own_template_of_chatglm3_are_understood_too():
    engine = engine_of(chatglm3())
    found = advertised_for(engine)
    theirs = dataclasses.asdict(fastchat.get_conv_template("chatglm3"))
    for _, messages in TRIED:
        sent = found.as_read(as_clients_write(theirs, messages))
        assert list(engine.prompt_ids([sent])) == list(engine.prompt_ids(messages))
        assert sent.role == "rendered"


@pytest.mark.parametrize("what", UNEQUAL)
def test_what_no_template_of_fastchat_writes_is_refused_with_what_is_unequal(what):
    with pytest.raises(ModelError, match=f"as its own chat template does: not with .*{what}") as it:
        advertised_for(engine_of(UNEQUAL[what]()))
    assert "without --controller" in it.value.hint


def test_a_model_without_a_chat_template_is_refused():
    with pytest.raises(ModelError, match="no template"):
        advertised_for(engine_of(chat_template("", *CHATML)))
    with pytest.raises(ModelError, match="no chat template to compare"):
        advertised_for(EchoEngine())


def test_an_engine_that_is_refused_is_closed():
    closed = []

    class Closing(EchoEngine):
        def close(self) -> None:
            closed.append(self)

    proven = Proven(lambda report: Closing())
    with pytest.raises(ModelError):
        proven(lambda progress: None)
    assert len(closed) == 1
    assert proven.advertised is None


def test_a_client_s_empty_system_prompt_is_none():
    found = advertised_for(engine_of(chat_template(PLAIN_CHATML, *CHATML)))
    turn = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    own = Message("rendered", turn)
    assert found.as_read(f"<|im_start|>system\n<|im_end|>\n{turn}") == own
    assert found.as_read(turn) == own
    with_system = f"<|im_start|>system\nx<|im_end|>\n{turn}"
    assert found.as_read(with_system) == Message("rendered", with_system)


def test_what_does_not_end_with_a_question_is_gone_on_with():
    found = advertised_for(engine_of(chat_template(PLAIN_CHATML, *CHATML)))
    for text in ("Once upon", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHel"):
        assert found.as_read(text) == Message("raw", text)


def test_a_prompt_is_repeated_without_its_control_tokens():
    found = advertised_for(engine_of(chat_template(PLAIN_CHATML, *CHATML)))
    assert found.without_controls("<|im_start|>user\nHi<|im_end|>\n") == "user\nHi\n"


def test_what_a_model_reads_begins_once_as_it_must():
    found = advertised_for(engine_of(chat_template(templates.GLM4, *GLM4_TOKENS)))
    own = Message("rendered", "[gMASK]<sop><|user|>\nHi<|assistant|>")
    assert found.as_read("[gMASK]<sop><|system|>\n<|user|>\nHi<|assistant|>\n") == own
    assert found.as_read(own.text) == own
