"""A model in this process, from its folder on; also the built-in one."""

import copy
import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise

import peft
import pytest
import torch
from transformers import AddedToken, AutoModelForCausalLM, AutoTokenizer

from glmcli import machine
from glmcli.config import load_settings
from glmcli.engines import open_engine
from glmcli.engines.local.net.load import load_net
from glmcli.engines.local.net.plain.reader import model_of
from glmcli.engines.local.prompt.open import open_template
from glmcli.engines.local.prompt.template import ChatTemplate
from glmcli.errors import ModelError
from glmcli.models.checkpoint import find_checkpoint
from glmcli.models.libraries import quiet
from tests.support import tiny
from tests.support.families import tiny_net
from tests.support.tiny_chat import (
    LONG,
    TOKENIZER,
    Forgetful,
    ask,
    conversation,
    text_of,
    tokenizer_of,
    user,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint as people have it on disk."""
    path = tmp_path_factory.mktemp("models") / "tiny-chat"
    net = tiny.llama(len(TOKENIZER), max_position_embeddings=300)
    net.save_pretrained(path)
    TOKENIZER.save_pretrained(path)
    return path


def opened(folder, tmp_path, **options):
    settings = load_settings({"model": str(folder), **options}, environ={}, folder=tmp_path)
    stages = []
    return open_engine(settings, stages.append), stages


def test_a_folder_opens_and_answers(folder, tmp_path):
    engine, stages = opened(folder, tmp_path)
    assert (engine.name, engine.context_tokens) == ("tiny-chat", 300)
    assert {stage.stage for stage in stages} == {"loading"}
    assert ask(engine, user("hello"))[-1].usage.completion_tokens == 20
    engine.close()


@pytest.mark.parametrize("has", [True, False])
def test_float16_that_auto_rounds_is_said_with_the_way_out(has, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: has)
    net = tiny.llama(len(TOKENIZER), max_position_embeddings=300).half()
    net.save_pretrained(tmp_path / "half")
    TOKENIZER.save_pretrained(tmp_path / "half")

    def notices(engine):
        return [chunk.notice for chunk in ask(engine, user("hello")) if chunk.notice]

    for dtype in ("auto", "bfloat16", "float16", "float32"):
        engine, _ = opened(tmp_path / "half", tmp_path, device="cpu", dtype=dtype)
        lines = notices(engine)
        assert len(lines) == (has and dtype == "auto")
        assert all("rounded to bfloat16" in line and "--dtype float16" in line for line in lines)
        assert notices(engine) == lines


STARTED = """
import sys
from threading import Event
from glmcli.config import load_settings
from glmcli.engines import open_engine
from glmcli.types import GenerationParams, Message
folder, cache = sys.argv[1:]
engine = open_engine(load_settings({"model": folder}, environ={"GLM_CACHE": cache}), print)
talk = []
for text in ("hello", "and again"):
    talk.append(Message("user", text))
    chunks = engine.stream(talk, GenerationParams(max_tokens=3, temperature=0), Event())
    talk.append(Message("assistant", "".join(chunk.text for chunk in chunks)))
engine.close()
heavy = ("torch._dynamo", "transformers", "accelerate", "rich")
print("Heavy:", *(name for name in heavy if name in sys.modules))
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU masks need the compiler's types")
def test_a_proven_model_answers_without_transformers_and_the_compiler_of_torch(folder, tmp_path):
    cache = str(tmp_path / "cache")
    settings = load_settings({"model": str(folder)}, environ={"GLM_CACHE": cache}, folder=tmp_path)
    first = open_engine(settings, lambda progress: None)
    assert "fused" in first.details
    first.close()
    start = [sys.executable, "-c", STARTED, str(folder), cache]
    done = subprocess.run(start, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "Heavy:"


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU masks need the compiler's types")
@pytest.mark.parametrize(
    "family", ["gemma2", "gpt2", "qwen3_moe", "mamba", "rwkv", "qwen3_next", "nemotron_h"]
)
def test_no_net_of_transformers_brings_the_compiler_of_torch_along(family, tmp_path):
    folder = tmp_path / family
    tiny_net(family, {"vocab_size": len(TOKENIZER)}).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    start = [sys.executable, "-c", STARTED, str(folder), str(tmp_path / "cache")]
    done = subprocess.run(start, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "Heavy: transformers accelerate"


LEFT_UNMARKED = """
import sys, torch
from glmcli.engines.local.net.plain.uncompiled import leave_unmarked
leave_unmarked()
kept = torch.ones(2)
assert torch._dynamo.mark_static_address(kept) is None and "torch._dynamo" not in sys.modules
assert torch._dynamo.config.verbose in (True, False)
assert torch._dynamo is sys.modules["torch._dynamo"]
torch._dynamo.mark_static_address(kept)
assert kept._dynamo_static_input_type
leave_unmarked()
assert torch.compile(lambda x: x + 1, backend="eager")(kept)[0] == 2
"""


def test_the_compiler_comes_back_for_whoever_asks_for_more_than_a_mark():
    subprocess.run([sys.executable, "-c", LEFT_UNMARKED], check=True)


ASKED_FOR = """
import sys
from glmcli.engines.local.net.plain.uncompiled import MASKS, uncompiled
with uncompiled():
    import torch
    @torch.compiler.disable
    def marked(): return 3
    @torch.compiler.disable(recursive=False)
    def marked_too(): return 4
    from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex
    assert "torch._dynamo.config" not in sys.modules
assert "torch._dynamo" not in sys.modules and (marked(), marked_too()) == (3, 4)
with TransformGetItemToIndex():
    assert "torch._dynamo.config" in sys.modules
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)) == 2
"""


def test_the_compiler_of_torch_is_there_for_those_who_ask_for_it():
    subprocess.run([sys.executable, "-c", ASKED_FOR], check=True)


def test_a_tokenizer_with_words_beyond_the_vocabulary_is_refused_before_the_weights(
    folder, tmp_path
):
    small = tmp_path / "small"
    words = TOKENIZER.backend_tokenizer.get_vocab_size(with_added_tokens=False)
    tiny.llama(words - 3).save_pretrained(small)
    TOKENIZER.save_pretrained(small)
    said = rf"a word the id {words - 3:,}, but the vocabulary has {words - 3:,} entries"
    with pytest.raises(ModelError, match=said):
        opened(small, tmp_path)


def with_added(token, *, special, template=""):
    """The tokenizer with one more token, which has no row in the embedding."""
    tokenizer = copy.deepcopy(TOKENIZER)
    rows = len(tokenizer)
    tokenizer.add_tokens(AddedToken(token, special=special), special_tokens=special)
    tokenizer.chat_template += template
    return tokenizer, rows


@pytest.mark.parametrize(
    ("token", "special", "template"),
    [
        ("/nothink", False, ""),
        ("<|over|>", True, "{% for m in messages if m.role == 'assistant' %}<|over|>{% endfor %}"),
    ],
)
def test_an_added_token_beyond_the_vocabulary_that_a_prompt_can_hold_is_refused(
    token, special, template, tmp_path
):
    tokenizer, rows = with_added(token, special=special, template=template)
    tiny.llama(rows).save_pretrained(tmp_path / "added")
    tokenizer.save_pretrained(tmp_path / "added")
    with pytest.raises(ModelError, match=rf"a word the id {rows:,}, but the vocabulary has"):
        opened(tmp_path / "added", tmp_path)


@pytest.mark.parametrize(
    ("token", "special", "more"), [("[PAD]", True, 0), ("/nothink", False, 8), ("[X]", True, 8)]
)
def test_an_added_token_that_no_prompt_holds_or_that_has_a_row_does_no_harm(
    token, special, more, tmp_path
):
    tokenizer, rows = with_added(token, special=special)
    tiny.llama(rows + more).save_pretrained(tmp_path / "added")
    tokenizer.save_pretrained(tmp_path / "added")
    engine, _ = opened(tmp_path / "added", tmp_path)
    assert ask(engine, user(f"say {token}"))[-1].usage.completion_tokens > 0
    engine.close()


def test_a_way_to_quantise_that_nobody_knows_is_named(folder, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(folder, changed)
    config = json.loads((changed / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "weird"}
    (changed / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="knows no way to quantise weights named 'weird'"):
        opened(changed, tmp_path)


def test_what_a_library_raises_at_a_bad_file_is_an_error_of_the_model(folder, tmp_path):
    bad = tmp_path / "bad"
    shutil.copytree(folder, bad)
    config = json.loads((bad / "config.json").read_text())
    (bad / "config.json").write_text(json.dumps(config | {"hidden_act": "no such function"}))
    with pytest.raises(ModelError) as caught:
        opened(bad, tmp_path)
    assert "config.json: hidden_act is 'no such function'" in caught.value.message
    assert "\n" not in caught.value.message
    assert "again" in caught.value.hint


@pytest.fixture
def changed(folder, tmp_path):
    """Makes the same checkpoint with other fields in one of its JSON files."""

    def change(file, **fields):
        made = shutil.copytree(folder, tmp_path / "changed")
        (made / file).write_text(json.dumps(json.loads((made / file).read_text()) | fields))
        return made

    return change


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_a_kernel_of_the_hub_is_refused_before_the_weights(file, changed, tmp_path):
    stated = changed(file, attn_implementation="kernels-community/flash-attn3")
    (stated / "model.safetensors").write_bytes(b"nobody looks")
    with pytest.raises(ModelError, match=f"{file}: attn_implementation is 'kernels-community/"):
        opened(stated, tmp_path)


def test_attention_that_is_not_here_is_left_to_the_option(changed, tmp_path):
    stated = changed("config.json", attn_implementation="flash_attention_2")
    engine, _ = opened(stated, tmp_path, fused=False)
    assert ask(engine, user("hello"))[-1].usage.completion_tokens == 20
    engine.close()


def test_a_model_without_template_says_that_it_is_a_base_model(folder, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(folder, base)
    (base / "chat_template.jinja").unlink()
    engine, _ = opened(base, tmp_path)
    assert engine.name == "base (base model)"
    assert engine.count(user("hello")) == len(TOKENIZER.encode("hello"))


def test_a_tokenizer_s_smaller_limit_is_the_window(folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    tokenizer = tokenizer_of()
    tokenizer.model_max_length = 77
    tokenizer.save_pretrained(other)
    assert opened(other, tmp_path)[0].context_tokens == 77


@pytest.fixture
def limited(folder, tmp_path):
    """Makes the same checkpoint, of which the tokenizer states a limit and config.json more."""

    def make(limit, **fields):
        made = shutil.copytree(folder, tmp_path / "limited")
        tokenizer = tokenizer_of()
        tokenizer.model_max_length = limit
        tokenizer.save_pretrained(made)
        config = json.loads((made / "config.json").read_text())
        (made / "config.json").write_text(json.dumps(config | fields))
        return made

    return make


@pytest.mark.parametrize(("limit", "window"), [(300, 1200), (77, 1200), (1000, 1000)])
def test_a_tokenizer_s_limit_of_before_the_window_was_widened_does_not_count(
    limit, window, limited, tmp_path
):
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 300}
    made = limited(limit, rope_parameters={**yarn, "rope_theta": 10_000.0})
    assert opened(made, tmp_path)[0].context_tokens == window


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("window", [50, 900])
def test_a_window_that_is_set_wins_over_all_that_is_stated(window, fused, limited, tmp_path):
    made = limited(77)
    engine, _ = opened(made, tmp_path, window=window, fused=fused)
    assert engine.context_tokens == window
    room = window - engine.count(user("hello"))
    chunks = ask(engine, user("hello"), max_tokens=None)
    assert chunks[-1].usage.completion_tokens == room
    wider = [chunk.notice for chunk in chunks if f"--window {window} counts" in chunk.notice]
    assert len(wider) == (window > 300)
    engine.close()


def test_a_length_that_the_checkpoint_states_is_the_window_unless_one_is_set(changed, tmp_path):
    stated = changed("generation_config.json", max_length=120)
    engine, _ = opened(stated, tmp_path)
    assert engine.context_tokens == 120
    assert any("--window 300" in chunk.notice for chunk in ask(engine, user("hello")))
    engine, _ = opened(stated, tmp_path, window=200)
    assert engine.context_tokens == 200
    assert not any(chunk.notice for chunk in ask(engine, user("hello")))


def test_an_adapter_is_named_and_heard(folder, tmp_path):
    plain = text_of(ask(opened(folder, tmp_path)[0], user("hello")))
    config = peft.LoraConfig(target_modules=["down_proj"], r=2, init_lora_weights=False)
    with quiet():
        changed = peft.get_peft_model(copy.deepcopy(tiny.llama(len(TOKENIZER))), config)
        for name, parameter in changed.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, 0.0, 1.0)
        changed.save_pretrained(tmp_path / "pirate")
    engine, _ = opened(folder, tmp_path, adapter=str(tmp_path / "pirate"))
    assert engine.name == "tiny-chat with pirate"
    ids = torch.tensor([engine.ids("hello")])
    wanted = changed.eval().generate(input_ids=ids, max_new_tokens=20, do_sample=False)
    reply = TOKENIZER.decode(wanted[0, ids.shape[1] :], skip_special_tokens=True)
    assert text_of(ask(engine, user("hello"))) == reply != plain
    engine.close()


def test_a_folder_without_tokenizer_is_a_model_error(folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    for path in other.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match="tokenizer"):
        opened(other, tmp_path)


def test_threads_are_set_where_asked(folder, tmp_path):
    before = torch.get_num_threads()
    try:
        opened(folder, tmp_path, threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


SILENT = """
import sys
from threading import Event
from glmcli.config import load_settings
from glmcli.engines import open_engine
from glmcli.types import GenerationParams, Message

engine = open_engine(load_settings({"model": sys.argv[1]}, environ={}), lambda progress: None)
for chunk in engine.stream([Message("user", "hi")], GenerationParams(max_tokens=3), Event()):
    pass
"""


def test_libraries_print_nothing(folder, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SILENT, str(folder)], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture(scope="module")
def built_in(tmp_path_factory):
    """The built-in model, in float32: in bfloat16 two tokens may tie."""
    cache = {name: os.environ[name] for name in ("GLM_CACHE",) if name in os.environ}
    settings = load_settings(
        {"model": "smollm2", "dtype": "float32", "device": "cpu"},
        environ=cache,
        folder=tmp_path_factory.mktemp("empty"),
    )
    engine = open_engine(settings, lambda progress: None)
    options = settings.model_options
    checkpoint = find_checkpoint("smollm2", options, lambda progress: None)
    template, _ = open_template(checkpoint, options)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder)
    net = load_net(checkpoint, options, lambda progress: None)
    yield engine, net, template, tokenizer
    engine.close()


@pytest.mark.model
@pytest.mark.parametrize("question", ["What is the capital of France?", "用中文说你好。", LONG])
def test_greedy_replies_of_the_built_in_model_equal_generate(built_in, question):
    engine, net, template, tokenizer = built_in
    prompt = template.encode(user(question))
    ids = torch.tensor([prompt.ids])
    whole = net.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=48, do_sample=False
    )
    said = [token for token in whole[0, ids.shape[1] :].tolist() if token != 2]
    assert "fused" in engine.details
    chunks = ask(engine, user(question), max_tokens=48)
    read = list(engine.known_ids[len(prompt.ids) :])
    assert read == said[: len(read)]
    assert len(said) - len(read) <= 1
    assert text_of(chunks) == tokenizer.decode(said, skip_special_tokens=True)


@pytest.mark.model
def test_the_built_in_model_says_the_same_with_and_without_what_it_has_read(built_in):
    engine, net, template, _ = built_in
    engine.forget()
    counts, replies = conversation(engine, 3, max_tokens=24)
    forgetful = Forgetful("forgetful", model_of(net), template)
    assert conversation(forgetful, 3, max_tokens=24)[1] == replies
    assert [cached > 0 for _, cached, _ in counts] == [False, True, True]


@pytest.mark.model
def test_every_turn_of_a_chat_reads_only_what_is_new(built_in):
    engine, _, _, tokenizer = built_in
    engine.forget()
    counts, replies = conversation(engine, 10, max_tokens=12)
    for turn, (before, now) in enumerate(pairwise(counts)):
        known = before[0] + len(tokenizer.encode(replies[turn])) - 1
        assert now[1] >= known


def saying(token, folder, **ends):
    """A checkpoint whose replies to "hello" begin with a token; its files name the `ends`."""
    prompt = torch.tensor([ChatTemplate(TOKENIZER).encode(user("hello")).ids])
    net = tiny.llama(len(TOKENIZER))
    first = int(net(prompt).logits[0, -1].argmax())
    rows = net.lm_head.weight.data
    rows[[token, first]] = rows[[first, token]]
    net.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    for name in ("config", "generation_config"):
        path = folder / f"{name}.json"
        found = json.loads(path.read_text())
        found.pop("eos_token_id", None)
        path.write_text(json.dumps(found | ends.get(name, {})))
    return net.config.__class__().eos_token_id, prompt


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("ends", "tokens"),
    [
        ({}, 20),
        ({"generation_config": {"eos_token_id": 2}}, 0),
        ({"generation_config": {"eos_token_id": [5, 2]}, "config": {"eos_token_id": 7}}, 0),
    ],
)
def test_a_reply_ends_where_that_of_generate_ends(ends, tokens, fused, tmp_path):
    of_the_class, prompt = saying(2, tmp_path / "net", **ends)
    assert of_the_class == 2  # what no file states is not the checkpoint's
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "net")
    made = theirs.generate(prompt, max_new_tokens=20, do_sample=False)[0, prompt.shape[1] :]
    assert len(made) == (tokens or 1)
    engine, _ = opened(tmp_path / "net", tmp_path, fused=fused)
    chunks = ask(engine, user("hello"))
    assert chunks[-1].usage.completion_tokens == tokens
    assert ("name no id that ends a reply" in engine.details) == (not ends)
    engine.close()
