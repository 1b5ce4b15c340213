"""Messages become the ids that the model was trained on, and no text becomes a control token."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Template
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from glmcli.engines.local.ids import shared_prefix
from glmcli.engines.local.prompt.items import own_system
from glmcli.engines.local.prompt.template import ChatTemplate
from glmcli.errors import ModelError, UsageError
from glmcli.types import Message
from tests.support import tiny
from tests.support.meanwhile import lets_others_run
from tests.support.templates import CHATML, GLM4, LLAMA3, REASONER

LLAMA2 = """{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}\
{% for message in messages %}{% if message.role == 'user' %}{{ bos_token }}[INST] \
{{ message.content.strip() }} [/INST]{% else %} {{ message.content.strip() }} {{ eos_token }}\
{% endif %}{% endfor %}"""
STRICT = """{% for message in messages %}\
{% if (message.role == 'user') == (loop.index0 % 2 == 1) %}\
{{ raise_exception('roles must alternate') }}{% endif %}{{ message.content }}</s>{% endfor %}"""
SHOUTING = (
    """{% for message in messages %}{{ '<|im_start|>' + message.content | upper }}{% endfor %}"""
)
LLAMA3_TOKENS = ("<|begin|>", "<|header|>", "<|end_header|>", "<|eot|>")
GLM4_ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
GLM4_TOKENS = ("[gMASK]", "<sop>", "<|endoftext|>", *GLM4_ROLES)


def make(backend, template, **tokens):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **tokens)
    tokenizer.chat_template = template
    return ChatTemplate(tokenizer), tokenizer


FAMILIES = {
    "chatml": make(tiny.byte_level(), CHATML, eos_token="<|im_end|>"),
    "llama3": make(tiny.byte_level(*LLAMA3_TOKENS), LLAMA3, eos_token="<|eot|>"),
    "glm4": make(tiny.byte_level(*GLM4_TOKENS), GLM4, eos_token="<|endoftext|>"),
    "llama2": make(tiny.byte_tokens("llama"), LLAMA2, bos_token="<s>", eos_token="</s>"),
    "mistral": make(tiny.byte_tokens("mistral"), LLAMA2, bos_token="<s>", eos_token="</s>"),
    "reasoner": make(tiny.byte_level(), REASONER, eos_token="<|im_end|>"),
}
CONTROL = {
    "chatml": "<|im_end|>",
    "llama3": "<|eot|>",
    "glm4": "<|observation|>",
    "llama2": "</s>",
    "mistral": "</s>",
    "reasoner": "<think>",
}


def user(*texts):
    roles = ("user", "assistant")
    return [Message(roles[index % 2], text) for index, text in enumerate(texts)]


def expected(name, messages, **options):
    items = [{"role": item.role, "content": item.text} for item in messages]
    tokenizer = FAMILIES[name][1]
    options = {"add_generation_prompt": True, **options}
    return tokenizer.apply_chat_template(items, tokenize=True, return_dict=False, **options)


def control_count(name, ids):
    backend = FAMILIES[name][1].backend_tokenizer
    return ids.count(backend.token_to_id(CONTROL[name]))


@pytest.mark.parametrize("name", FAMILIES)
@given(texts=st.lists(st.text("aB5 \n.é你🙂<|>", min_size=1, max_size=12), min_size=1, max_size=3))
def test_plain_text_gives_the_ids_of_the_tokenizer_itself(name, texts):
    messages = user(*texts)[: len(texts) - 1 + len(texts) % 2]
    assert FAMILIES[name][0].encode(messages).ids == expected(name, messages)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("text", ["{}", "a{}b", " {} ", "say {}{} twice", "\n{}\n", "你{}好"])
def test_control_strings_in_messages_stay_text(name, text):
    template, tokenizer = FAMILIES[name]
    plain = template.encode(user("hello", "ok", "bye")).ids
    hostile = text.format(CONTROL[name], CONTROL[name])
    for place in range(3):
        texts = ["hello", "ok", "bye"]
        texts[place] = hostile
        ids = template.encode(user(*texts)).ids
        assert control_count(name, ids) == control_count(name, plain)
        assert CONTROL[name] in tokenizer.backend_tokenizer.decode(ids)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_surrounds_a_control_string_keeps_its_ids(name):
    first, last = "The quick brown fox", "She doesn't know why"
    plain = FAMILIES[name][0].encode(user(first, "ok then", last)).ids
    ids = FAMILIES[name][0].encode(user(first, f"ok {CONTROL[name]} then", last)).ids
    head = shared_prefix(ids, plain)
    tail = shared_prefix(ids[head:][::-1], plain[head:][::-1])
    assert len(plain) - head - tail <= 1
    assert len(ids) - head - tail <= len(CONTROL[name]) + 2


@pytest.mark.parametrize("name", FAMILIES)
def test_a_text_with_a_control_string_reads_as_it_was_written(name):
    template, tokenizer = FAMILIES[name]
    text = f"one {CONTROL[name]} two\n{CONTROL[name]}three"
    decoded = tokenizer.backend_tokenizer.decode(template.encode(user(text)).ids)
    assert text in decoded


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("chatml", "<|im_end|>"),
        ("llama3", "<|eot|>"),
        ("glm4", "<|user|>"),
        ("llama2", "</s>"),
        ("reasoner", "<|im_end|>"),
    ],
)
def test_the_token_that_follows_a_reply_in_the_template_is_found(name, end):
    template, tokenizer = FAMILIES[name]
    assert template.stop_ids == {tokenizer.eos_token_id}
    assert template.turn_ends == {tokenizer.convert_tokens_to_ids(end)}


@pytest.mark.parametrize("name", ["chatml", "llama3", "glm4", "llama2", "reasoner"])
def test_a_reply_goes_on_with_the_last_message_of_the_assistant(name):
    messages = user("hello", "The quick")
    prompt = FAMILIES[name][0].encode(messages)
    assert prompt.goes_on
    whole = FAMILIES[name][1].backend_tokenizer.decode(prompt.ids, skip_special_tokens=False)
    assert whole.endswith("The quick")


def test_an_empty_last_message_of_the_assistant_starts_a_reply():
    template = FAMILIES["chatml"][0]
    assert template.encode(user("hello", "")) == template.encode(user("hello"))


def test_a_reply_that_goes_on_keeps_its_first_blank():
    template, tokenizer = FAMILIES["llama2"]
    ids = tokenizer.backend_tokenizer.encode("fox", add_special_tokens=False).ids
    prompt = template.encode(user("hello", "The quick"))
    decoder = template.decoder(prompt)
    assert "".join(map(decoder.push, ids)) == " fox"
    decoder = template.decoder(template.encode(user("hello")))
    assert "".join(map(decoder.push, ids)) == "fox"


def test_a_system_prompt_is_sent_as_such_where_the_template_takes_it():
    messages = [Message("system", "Be brief"), *user("hello")]
    assert FAMILIES["chatml"][0].encode(messages).ids == expected("chatml", messages)


def test_a_system_prompt_goes_into_the_first_question_where_the_template_refuses_it():
    folded = FAMILIES["llama2"][0].encode([Message("system", "Be brief"), *user("hello")])
    assert folded.folded
    assert folded.ids == FAMILIES["llama2"][0].encode(user("Be brief\n\nhello")).ids


def test_a_conversation_the_template_refuses_is_a_usage_error_in_its_words():
    template, _ = make(tiny.byte_tokens("llama"), STRICT, eos_token="</s>")
    with pytest.raises(UsageError, match="roles must alternate") as caught:
        template.encode([Message("user", "a"), Message("user", "b")])
    assert "/reset" in caught.value.advice(commands=True)
    assert "/reset" not in caught.value.advice()


def test_a_template_that_takes_no_conversation_is_the_models_fault():
    raises = "{{ raise_exception('never') }}"
    counts = "{% for m in messages %}{{ m.content|length }}{% endfor %}"
    for source in (raises, counts):
        template, _ = make(tiny.byte_tokens("llama"), source, eos_token="</s>")
        with pytest.raises(ModelError) as caught:
            template.encode([Message("user", "hello there")])
        assert caught.value.exit_code == 3
        assert "another model" in caught.value.hint


def test_a_template_that_changes_letters_refuses_control_strings_but_not_text():
    template, _ = make(tiny.byte_level(), SHOUTING, eos_token="<|im_end|>")
    with pytest.raises(UsageError, match="as plain text"):
        template.encode(user("a <|im_end|> b"))
    ids = template.encode(user("hello")).ids
    assert tiny.byte_level().decode(ids) == "HELLO"


def test_a_control_string_is_spelled_though_the_vocabulary_lacks_most_letters():
    template, tokenizer = make(tiny.letters("<|im_end>user\n"), CHATML, unk_token="<unk>")
    for text in ("<|im_end|>", "see <|im_end|><|im_end|> 日"):
        ids = template.encode(user(text)).ids
        assert text.removesuffix(" 日") in tokenizer.decode(ids)
        assert ids == template.encode(user(text)).ids


def test_a_control_string_is_refused_where_the_vocabulary_lacks_its_letters():
    template, _ = make(tiny.letters("user\n"), CHATML, unk_token="<unk>")
    for text in ("<|im_end|>", "see <|im_end|><|im_end|> 日"):
        with pytest.raises(UsageError, match="cannot spell its own control tokens"):
            template.encode(user(text))
    assert template.encode(user("see")).ids


def test_what_a_template_leaves_out_may_hold_control_strings():
    template = FAMILIES["reasoner"][0]
    messages = user("hello", "<think><|im_end|></think>ok", "bye")
    ids = template.encode(messages).ids
    assert control_count("reasoner", ids) == 1


def test_reasoning_is_switched_where_the_template_has_a_switch():
    template = FAMILIES["glm4"][0]
    quiet = template.encode(user("hello"), think=False).ids
    assert quiet == expected("glm4", user("hello"), enable_thinking=False)
    assert quiet != template.encode(user("hello"), think=True).ids
    assert template.encode(user("hello"), think=True) == template.encode(user("hello"))


def test_a_template_that_opens_the_reasoning_says_so():
    assert FAMILIES["reasoner"][0].encode(user("hello")).thinking
    assert not FAMILIES["reasoner"][0].encode(user("hello", "so")).thinking
    assert not FAMILIES["chatml"][0].encode(user("<think>")).thinking


def test_marks_are_found_as_tokens_where_they_are_tokens():
    template, tokenizer = FAMILIES["reasoner"]
    assert template.marks.open_id == tokenizer.convert_tokens_to_ids("<think>")
    assert template.marks.close_id is None
    assert FAMILIES["llama2"][0].marks.open_id is None


def test_a_template_that_knows_no_reasoning_sends_none():
    with_thinking = [Message("user", "a"), Message("assistant", "b", thinking="c"), *user("d")]
    assert FAMILIES["chatml"][0].encode(with_thinking) == FAMILIES["chatml"][0].encode(
        user("a", "b", "d")
    )


def test_tools_and_their_results_reach_the_template():
    tools = [{"type": "function", "function": {"name": "weather"}}]
    messages = [
        Message("system", "Be brief", tools=json.dumps(tools)),
        Message("user", "rain?"),
        Message("assistant", "{}", name="weather"),
        Message("tool", "yes", name="weather"),
    ]
    template, tokenizer = FAMILIES["glm4"]
    text = tokenizer.backend_tokenizer.decode(template.encode(messages).ids, False)
    assert '"name": "weather"' in text
    assert text.endswith("<|assistant|>weather\n{}<|observation|>weather\nyes<|assistant|>")


CALLS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}#{{ c.id }}{% endfor %}"
    "{{ m.tool_call_id }}<|im_end|>\n{% endfor %}"
)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (CHATML, '{"name": "weather", "arguments": {"at": "home"}}<|im_end|>'),
        (CALLS, '{"name": "weather", "arguments": {"at": "home"}}#call00001<|im_end|>'),
    ],
)
def test_the_name_of_a_tool_that_was_called_reaches_the_model(source, said):
    template, tokenizer = make(tiny.byte_level(), source)
    called = Message("assistant", '{"at": "home"}', name="weather")
    messages = [*user("rain?"), called, Message("tool", "yes"), *user("so?")]
    text = tokenizer.backend_tokenizer.decode(template.encode(messages).ids, False)
    assert said in text
    assert text.count("call00001") == (2 if source == CALLS else 0)


@pytest.mark.parametrize("text", ['{"x": "<|im_end|>"}', '{"x": "\\u003c|im_end|>"}', "<|im_end|>"])
@pytest.mark.parametrize("source", [CHATML, CALLS])
def test_a_control_string_in_a_call_of_a_tool_stays_text(source, text):
    template, tokenizer = make(tiny.byte_level(), source)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    counts = [
        template.encode([*user("a"), Message("assistant", said, name=name), *user("b")]).ids.count(
            end
        )
        for said, name in ((text, "f"), ("{}", "<|im_end|>"), ("{}", "f"))
    ]
    assert counts == counts[-1:] * 3


@pytest.mark.parametrize("name", ["chatml", "llama3", "glm4", "llama2"])
@pytest.mark.parametrize("thinking", ["", "hm"])
def test_a_question_whose_reply_is_empty_is_sent_as_transformers_sends_it(name, thinking):
    template, tokenizer = FAMILIES[name]
    messages = [*user("I am Bob"), Message("assistant", "", thinking), *user("my name?")]
    items = [{"role": item.role, "content": item.text} for item in messages]
    expected = tokenizer.apply_chat_template(items, add_generation_prompt=True, return_dict=False)
    assert template.encode(messages).ids == expected
    assert template.encode(messages[:2]) == template.encode(messages[:1])


@pytest.mark.parametrize("tools", ["{", "{}", "3"])
def test_tools_that_are_no_json_list_are_a_usage_error(tools):
    with pytest.raises(UsageError, match="tools"):
        FAMILIES["glm4"][0].encode([Message("system", "", tools=tools), *user("hello")])


def test_half_a_surrogate_pair_is_a_usage_error():
    with pytest.raises(UsageError, match="character 3 "):
        FAMILIES["chatml"][0].encode(user("ab\ud83d"))


def test_a_base_model_goes_on_with_the_text():
    template, tokenizer = make(tiny.byte_level(), None, eos_token="<|endoftext|>")
    assert template.is_base
    prompt = template.encode([Message("system", "One."), *user("two", " three", "four")])
    assert tokenizer.decode(prompt.ids) == "One.\n\ntwo three\n\nfour"
    assert template.stop_ids == {tokenizer.eos_token_id}
    assert template.turn_ends == frozenset()
    hostile = template.encode(user("a<|im_end|>b")).ids
    assert tokenizer.decode(hostile, skip_special_tokens=True) == "a<|im_end|>b"


@pytest.mark.parametrize("around", ["$A", "<|im_start|> $A", "<|im_start|> <think> $A <|im_end|>"])
def test_a_base_model_reads_all_that_its_tokenizer_puts_before_a_text(around):
    backend = Tokenizer.from_str(tiny.byte_level().to_str())
    first, _, behind = around.partition("$A")
    added = [(name, backend.token_to_id(name)) for name in (first + behind).split()]
    backend.post_processor = TemplateProcessing(single=around, special_tokens=added)
    template, tokenizer = make(backend, None, eos_token="<|im_end|>")
    ids = template.encode(user("x and more")).ids
    assert (
        ids == tokenizer(first.replace(" ", "") + "x and more", add_special_tokens=False).input_ids
    )


@pytest.mark.parametrize("name", ["chatml", "llama2"])
@pytest.mark.parametrize("start", ["", "<|im_end|></s>"])
def test_a_long_text_becomes_ids_while_other_threads_go_on(name, start):
    messages = user(start + "The quick brown fox\n" * 50_000)
    assert lets_others_run(lambda: FAMILIES[name][0].encode(messages))


def test_a_tokenizer_without_a_fast_backend_is_refused():
    class Slow:
        chat_template = None

    with pytest.raises(ModelError, match="Slow"):
        ChatTemplate(Slow())


@pytest.mark.parametrize(
    ("head", "own"),
    [
        ("<|system|>You are Echo.<|end|>", "You are Echo."),
        ("", ""),
    ],
)
def test_the_system_prompt_that_a_template_adds_is_found(head, own):
    template = (
        "{% if messages[0].role != 'system' %}" + head + "{% endif %}"
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}<|assistant|>"
    )

    def render(messages):
        items = [{"role": item.role, "content": item.text} for item in messages]
        return Template(template).render(messages=items)

    assert own_system(render) == own
