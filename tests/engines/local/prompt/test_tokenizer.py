"""Without transformers the prompts are the same, or transformers is used."""

import json
from types import SimpleNamespace

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from glmcli.config import load_settings
from glmcli.config.models import Cache, ModelOptions
from glmcli.engines.local.prompt import open as open_module
from glmcli.engines.local.prompt import tokenizer as tokenizer_module
from glmcli.engines.local.prompt.guarded import try_apart
from glmcli.engines.local.prompt.rendering import choose_template, render, render_apart
from glmcli.engines.local.prompt.tokenizer import ChatTokenizer, find_proven, prove, same
from glmcli.errors import ConfigError, ModelError, UsageError
from glmcli.models.checkpoint import find_checkpoint
from glmcli.types import Message
from tests.support import tiny
from tests.support.chatglm_data import copy_of

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOOLS = (
    "{{ tools | tojson }}{{ tools | tojson(indent=2) }}{{ bos_token }}|{{ messages[0].content }}"
)
LOOPS = (
    "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.content }}"
    "{% endfor %}"
)
STRICT = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    "x{{ messages[-1].content | trim }}"
)
DATED = "{{ strftime_now('%Y') }}{{ messages[-1]['content'] }}"


def folder_of(template, folder, backend=None, **config):
    own = PreTrainedTokenizerFast(
        tokenizer_object=backend or tiny.byte_level(),
        eos_token="<|im_end|>",
        bos_token="<|endoftext|>",
        chat_template=template,
        **config,
    )
    own.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("template", [CHATML, TOOLS, LOOPS, STRICT, DATED, None])
def test_prompts_equal_those_of_transformers(template, tmp_path):
    theirs = folder_of(template, tmp_path, model_max_length=77)
    ours = ChatTokenizer(tmp_path)
    assert same(ours, theirs)
    if template:
        messages = [{"role": "user", "content": " hi\n"}, {"role": "assistant", "content": "yes "}]
        tools = [{"name": "f", "text": "<ü>"}]
        for options in ({}, {"tools": tools}):
            expected = theirs.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, **options
            )
            assert render(ours, messages, **options) == expected
            assert render(theirs, messages, **options) == expected


@pytest.mark.parametrize("kind", ["llama", "gemma", "mistral"])
def test_tokenizers_with_byte_tokens_are_the_same(kind, tmp_path):
    theirs = folder_of(CHATML, tmp_path, tiny.byte_tokens(kind))
    assert same(ChatTokenizer(tmp_path), theirs)


@pytest.mark.parametrize(
    "change",
    [
        {"eos_token": "<|im_start|>"},
        {"model_max_length": 5},
        {"chat_template": CHATML.replace("\n", " ")},
    ],
)
def test_a_difference_is_noticed(change, tmp_path):
    theirs = folder_of(CHATML, tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    path = tmp_path / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"chat_template": CHATML} | change
    path.write_text(json.dumps(config))
    assert not same(ChatTokenizer(tmp_path), theirs)


def test_the_finding_is_kept_until_the_files_change(tmp_path):
    folder, cache = tmp_path / "tokenizer", Cache(tmp_path / "cache")
    theirs = folder_of(CHATML, folder)
    assert find_proven(folder, cache, again=False) is None
    prove(folder, cache, theirs)
    assert find_proven(folder, cache, again=False) is not None
    assert find_proven(folder, cache, again=True) is None
    (folder / "chat_template.jinja").write_text(LOOPS)
    assert find_proven(folder, cache, again=False) is None


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json"),
        *("merges.txt", "spiece.model", "other.tiktoken", "tokenizer.9.0.json"),
        "additional_chat_templates/tool_use.jinja",
    ],
)
def test_the_finding_is_of_every_file_that_may_decide_the_tokenizer(name, tmp_path):
    folder, cache = tmp_path / "tokenizer", Cache(tmp_path / "cache")
    prove(folder, cache, folder_of(CHATML, folder))
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    assert find_proven(folder, cache, again=False) is None
    prove(folder, cache, AutoTokenizer.from_pretrained(folder))
    path.write_text('{"model_type": "qwen2"}')
    assert find_proven(folder, cache, again=False) is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vocab.json", json.dumps({f"t{n}": n for n in range(500_001)})),
        ("vocab.txt", "a\n" * 500_001),
        ("merges.txt", "a" * 1_001),
        ("qwen.tiktoken", "YWFh" * 400 + " 0\n"),
        ("sentencepiece.bpe.model", "YWFh" * 400 + " 0\n"),
        ("tekken.json", json.dumps({"vocab": [{"token_bytes": "a" * 999}] * 101})),
    ],
)
def test_whatever_a_tokenizer_is_made_of_is_tried_apart(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ModelError, match="the model's tokenizer has"):
        try_apart(tmp_path)


@pytest.mark.parametrize(
    "name", ["vocab.json", "a.model", "a.tiktoken", "tekken.json", "train.json"]
)
def test_what_is_not_understood_apart_does_no_harm(name, tmp_path):
    (tmp_path / name).write_text("{} not one of these " + "x" * 2_000)
    try_apart(tmp_path)


@pytest.mark.parametrize("content", ["{}", "[]", "", "x", '{"added_tokens": []}'])
def test_a_tokenizer_json_that_is_none_is_refused_in_words_before_transformers(content, tmp_path):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError) as caught:
        try_apart(tmp_path)
    assert caught.value.message.startswith(f"{tmp_path}/tokenizer.json is no tokenizer: ")
    assert caught.value.hint == "download the model again" and caught.value.__cause__ is None
    (tmp_path / "tokenizer.model").touch()
    try_apart(tmp_path)


def test_what_a_library_misses_in_a_tokenizer_is_said_in_words(tmp_path):
    folder = tmp_path / "net"
    tiny.llama().save_pretrained(folder)
    folder_of(CHATML, folder)
    backend = json.loads((folder / "tokenizer.json").read_text())
    del backend["added_tokens"]
    (folder / "tokenizer.json").write_text(json.dumps(backend))
    options = ModelOptions(Cache(tmp_path / "cache"), device="cpu")
    checkpoint = find_checkpoint(str(folder), options, lambda progress: None)
    with pytest.raises(ModelError, match="cannot be read: 'added_tokens' is missing"):
        open_module.load_tokenizer(checkpoint, options)


def test_weights_and_settings_of_replies_are_no_part_of_the_finding(tmp_path):
    folder, cache = tmp_path / "tokenizer", Cache(tmp_path / "cache")
    prove(folder, cache, folder_of(CHATML, folder))
    for name in ("model.safetensors", "generation_config.json", "README.md"):
        (folder / name).write_text("{}")
    assert find_proven(folder, cache, again=False) is not None


def test_a_continued_message_that_the_template_drops_is_refused(tmp_path):
    folder_of("{{ messages[0].content }}", tmp_path)
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    with pytest.raises(UsageError, match="continued"):
        render(ChatTokenizer(tmp_path), messages, goes_on=True)


@pytest.mark.parametrize(
    "source", ["{{ ''.__class__.__mro__ }}", "{{ messages.append(1) }}", "{{ dict.__init__ }}"]
)
def test_templates_run_in_a_sandbox(source):
    try:
        shown = render_apart(source, {"messages": []})
    except ModelError as exc:
        assert "unsafe" in exc.message
        return
    assert shown == ""  # undefined: nothing was reached


def test_a_template_may_refuse():
    with pytest.raises(UsageError, match="never"):
        render_apart("{{ raise_exception('never') }}", {})


def test_special_tokens_do_not_raise_the_limits_of_the_template():
    source = "{{ bos_token[1:] * 9 }}"
    tokenizer = SimpleNamespace(
        chat_template=source,
        get_chat_template=lambda name, tools: source,
        special_tokens_map={"bos_token": "ab" * 1_000_000},
    )
    with pytest.raises(ModelError, match="writes far more than it is given"):
        render(tokenizer, [{"role": "user", "content": "hi"}])


def test_the_second_start_does_without_transformers(tmp_path):
    folder = tmp_path / "net"
    tiny.llama().save_pretrained(folder)
    folder_of(CHATML, folder)
    environ = {"GLM_CACHE": str(tmp_path / "cache")}
    options = load_settings({"model": str(folder), "device": "cpu"}, environ=environ).model_options
    checkpoint = find_checkpoint(str(folder), options, lambda progress: None)
    kinds = [type(open_module.load_tokenizer(checkpoint, options)) for _ in range(2)]
    assert kinds[0] is not ChatTokenizer
    assert kinds[1] is ChatTokenizer


def test_the_tokenizer_of_a_chatglm_is_tried_apart_once(tmp_path, monkeypatch):
    tried = []
    try_apart = tokenizer_module.try_apart
    monkeypatch.setattr(
        tokenizer_module, "try_apart", lambda folder: tried.append(try_apart(folder))
    )
    options = ModelOptions(Cache(tmp_path / "cache"), device="cpu")
    folder = copy_of("tiny-6b-safetensors", tmp_path)
    checkpoint = find_checkpoint(str(folder), options, lambda progress: None)
    for _ in range(2):
        open_module.open_template(checkpoint, options)
    assert len(tried) == 1
    with (folder / "tokenizer_config.json").open("a") as file:
        file.write(" ")
    open_module.open_template(checkpoint, options)
    assert len(tried) == 2


@pytest.mark.parametrize(
    ("names", "asked", "chosen"),
    [
        (("rag", "tool_use"), "rag", "rag"),
        (("default", "rag"), "rag", "rag"),
        (("default", "rag"), "", {"default": "default", "rag": "rag"}),
    ],
)
def test_of_several_templates_one_can_be_chosen(names, asked, chosen):
    tokenizer = SimpleNamespace(chat_template={name: name for name in names})
    choose_template(tokenizer, asked)
    assert tokenizer.chat_template == chosen


def test_several_templates_without_a_default_are_named():
    tokenizer = SimpleNamespace(chat_template={"rag": "x", "tool_use": "y"})
    with pytest.raises(ModelError, match="is the default; it has rag, tool_use") as caught:
        choose_template(tokenizer, "")
    assert "--template NAME" in caught.value.hint


@pytest.mark.parametrize(
    ("templates", "said"),
    [
        ({"default": "x", "rag": "y"}, "has no chat template rug: it has default, rag"),
        ("x", "has no chat template rug: it has one, the default"),
        ({"rag": "x"}, "has no chat template rug: it has rag"),
        (None, "has no chat template, so none that is called rug"),
    ],
)
def test_a_template_that_a_model_does_not_have_is_refused_as_a_wrong_setting(templates, said):
    with pytest.raises(ConfigError, match=said) as caught:
        choose_template(SimpleNamespace(chat_template=templates), "rug")
    has_another = isinstance(templates, dict)
    assert caught.value.hint.startswith("choose one" if has_another else "leave out --template")


def test_the_only_template_may_be_called_the_default():
    tokenizer = SimpleNamespace(chat_template="x")
    choose_template(tokenizer, "default")
    assert tokenizer.chat_template == "x"


def opened(folder, tmp_path, template):
    """The template of a checkpoint that is opened with --template."""
    environ = {"GLM_CACHE": str(tmp_path / "cache"), "GLM_TEMPLATE": template}
    options = load_settings({"model": str(folder), "device": "cpu"}, environ=environ).model_options
    checkpoint = find_checkpoint(str(folder), options, lambda progress: None)
    return open_module.open_template(checkpoint, options)[0]


def test_chatglm_has_a_template_of_its_own_and_no_other(tmp_path):
    folder = copy_of("tiny-6b-safetensors", tmp_path)
    opened(folder, tmp_path, "default")
    with pytest.raises(ConfigError, match="no chat template chatml: it has one, the default"):
        opened(folder, tmp_path, "chatml")


def test_the_template_that_is_asked_for_is_the_one_that_is_used(tmp_path):
    folder = tmp_path / "net"
    tiny.llama().save_pretrained(folder)
    folder_of(CHATML, folder)
    more = folder / "additional_chat_templates"
    more.mkdir()
    (more / "loud.jinja").write_text("{{ messages[-1].content | upper }} {{ messages[0].content }}")
    ids = opened(folder, tmp_path, "loud").encode([Message("user", "hi there")]).ids
    assert AutoTokenizer.from_pretrained(folder).decode(ids) == "HI THERE hi there"
