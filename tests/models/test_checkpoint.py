"""From names to nets: what is refused, and that what is loaded is what was stored."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from glmcli.config.models import Cache, ModelOptions
from glmcli.engines.local.net import load as loading
from glmcli.engines.local.net.load import Loading, load_net
from glmcli.engines.local.net.plain import bins
from glmcli.errors import ConfigError, GlmError, ModelError
from glmcli.machine import MappedFiles
from glmcli.models.checkpoint import find_checkpoint, needs_remote_code
from glmcli.types import Progress, Report
from tests.support.folders import Reports, write_config, write_llama, write_zeros

TRAP = (
    "from pathlib import Path\nPath(__file__).with_name('ran').touch()\nraise RuntimeError('boo')\n"
)
AUTO_MAP = {
    "AutoConfig": "configuration_x.XConfig",
    "AutoModelForCausalLM": "modeling_x.XForCausalLM",
}


def ignore(progress: Progress) -> None:
    """No report."""


@pytest.fixture
def options(tmp_path: Path) -> ModelOptions:
    return ModelOptions(device="cpu", cache=Cache(tmp_path / "cache"), offline=True)


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory):
    """`stored("float16")`: a folder with a random Llama, for reading only."""

    @cache
    def folder(dtype: str) -> Path:
        return write_llama(tmp_path_factory.mktemp(dtype) / "tiny", stored=dtype)

    return folder


@pytest.fixture
def tiny(stored: Any, tmp_path: Path) -> Path:
    """A random float32 Llama, to spoil."""
    return Path(shutil.copytree(stored("float32"), tmp_path / "tiny"))


def load(folder: Path | str, options: ModelOptions, report: Report = ignore, **changes: Any) -> Any:
    options = replace(options, **changes)
    return load_net(find_checkpoint(str(folder), options, report), options, report)


def refused(folder: Path | str, options: ModelOptions, **changes: Any) -> GlmError:
    """What finding or loading raises: one line and one hint."""
    with pytest.raises(GlmError) as caught:
        load(folder, options, **changes)
    error = caught.value
    assert "\n" not in error.message and "\n" not in error.hint and error.hint
    return error


def edit_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    """Replace tensors in model.safetensors, or drop those that are None."""
    path = folder / "model.safetensors"
    tensors = load_file(path) | {name.replace("__", "."): value for name, value in changes.items()}
    kept = {name: value for name, value in tensors.items() if value is not None}
    path.unlink()  # the old one may be mapped
    save_file(kept, path, {"format": "pt"})


# ---- folders that cannot be used


def test_a_folder_that_does_not_exist(tmp_path: Path, options: ModelOptions):
    assert "there is no folder" in refused(tmp_path / "nothing", options).message


def test_an_empty_folder(tmp_path: Path, options: ModelOptions):
    (tmp_path / "empty").mkdir()
    assert "is empty" in refused(tmp_path / "empty", options).message


@pytest.mark.parametrize("family", [None, ""])
def test_a_config_that_names_no_family(family: str | None, tiny: Path, options: ModelOptions):
    config = json.loads((tiny / "config.json").read_text())
    (tiny / "config.json").write_text(json.dumps(config | {"model_type": family}))
    error = refused(tiny, options)
    assert error.message == f"{tiny}/config.json names no model_type"
    assert error.hint == "download the model again"
    (tiny / "config.json").write_text(json.dumps(config | {"model_type": family, "auto_map": {}}))
    assert refused(tiny, options).message == "tiny needs Python code that comes with it"


def test_a_folder_without_a_config(tmp_path: Path, options: ModelOptions):
    write_zeros(tmp_path / "model.safetensors", "a")
    assert "has no config.json" in refused(tmp_path, options).message


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_a_config_that_is_not_a_json_object_is_refused(
    tiny: Path, options: ModelOptions, text: str
):
    (tiny / "config.json").write_text(text)
    assert "config.json" in refused(tiny, options).message


def test_an_adapter_is_called_one(tmp_path: Path, options: ModelOptions):
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "adapter" in refused(tmp_path, options).message


def test_a_gguf_folder_is_told_how_it_is_named(tmp_path: Path, options: ModelOptions):
    (tmp_path / "model.gguf").touch()
    assert f"--model gguf:{tmp_path}" in refused(tmp_path, options).hint


def test_a_truncated_checkpoint(tiny: Path, options: ModelOptions):
    path = tiny / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "cut off" in refused(tiny, options).message


def test_an_unreadable_folder_is_one_line(tiny: Path, options: ModelOptions):
    (tiny / "config.json").unlink()
    (tiny / "config.json").mkdir()
    assert "config.json" in refused(tiny, options).message


# ---- weights that do not fit the config


def test_a_dropped_tensor_is_never_made_up(tiny: Path, options: ModelOptions):
    edit_weights(tiny, model__layers__1__mlp__up_proj__weight=None)
    error = refused(tiny, options)
    assert isinstance(error, ModelError)
    assert "lacks weights: model.layers.1.mlp.up_proj.weight" in error.message


def test_a_tensor_without_a_place_is_refused(tiny: Path, options: ModelOptions):
    edit_weights(tiny, model__layers__0__extra__weight=torch.zeros(2))
    assert "model.layers.0.extra.weight" in refused(tiny, options).message


def test_buffers_that_classes_compute_today_are_let_through(tiny: Path, options: ModelOptions):
    edit_weights(tiny, model__layers__0__self_attn__rotary_emb__inv_freq=torch.zeros(4))
    assert load(tiny, options).num_parameters() > 0


def test_a_tensor_of_another_shape_is_refused(tiny: Path, options: ModelOptions):
    edit_weights(tiny, model__norm__weight=torch.zeros(7))
    error = refused(tiny, options)
    assert "differ in shape: model.norm.weight" in error.message


def test_many_names_are_counted_and_few_are_shown(tiny: Path, options: ModelOptions):
    write_config(tiny, attention_bias=True, dtype="float32")
    assert refused(tiny, options).message.endswith("and 5 more")


# ---- models that are of another kind


def test_an_unknown_family(tiny: Path, options: ModelOptions):
    write_config(tiny, model_type="hal9000")
    assert "does not know" in refused(tiny, options).message


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
        {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]},
        {"architectures": ["LlamaModel"]},
    ],
)
def test_a_model_that_continues_no_text(tiny: Path, options: ModelOptions, changes: dict[str, Any]):
    write_config(tiny, **changes)
    assert "not a model that continues text" in refused(tiny, options).message


def test_a_config_that_its_own_class_refuses(tiny: Path, options: ModelOptions):
    write_config(tiny, hidden_size="large")
    assert isinstance(refused(tiny, options), ModelError)


def test_packed_weights_name_their_format(tiny: Path, options: ModelOptions):
    write_config(tiny, quantization_config={"quant_method": "gptq", "bits": 4})
    error = refused(tiny, options)
    assert "quantised (gptq)" in error.message


# ---- Python that comes with a model


def with_code(folder: Path, **config: Any) -> Path:
    write_config(folder, auto_map=AUTO_MAP, dtype="float32", **config)
    for name in ("configuration_x.py", "modeling_x.py"):
        (folder / name).write_text(TRAP)
    return folder


@pytest.fixture
def modules_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where transformers copies a model's Python to before it runs it."""
    import transformers.dynamic_module_utils as dynamic

    monkeypatch.setattr(dynamic, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path


def test_remote_code_is_refused_and_does_not_run(tiny: Path, options: ModelOptions):
    error = refused(with_code(tiny, model_type="hal9000"), options)
    assert "--trust-remote-code" in error.hint
    assert not list(tiny.glob("ran"))


def test_trusted_remote_code_runs(tiny: Path, options: ModelOptions, modules_folder: Path):
    folder = with_code(tiny, model_type="hal9000")
    assert "boo" in refused(folder, options, trust_remote_code=True).message
    assert list(modules_folder.rglob("ran"))


@pytest.mark.parametrize("trusted", [False, True])
def test_a_native_family_never_runs_remote_code(
    tiny: Path, options: ModelOptions, modules_folder: Path, trusted: bool
):
    net = load(with_code(tiny), options, trust_remote_code=trusted)
    assert type(net).__module__.startswith("transformers.models.llama")
    assert not list(modules_folder.rglob("ran"))


def test_python_that_was_not_fetched_is_missing(tiny: Path, options: ModelOptions):
    write_config(tiny, model_type="hal9000", auto_map=AUTO_MAP)
    error = refused(tiny, options, trust_remote_code=True)
    assert "does not have the Python files" in error.message


def test_which_families_are_native_is_known_without_importing_them():
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    for family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        assert not needs_remote_code({"model_type": family, "auto_map": AUTO_MAP}), family
    assert needs_remote_code({"model_type": "hal9000", "auto_map": AUTO_MAP})
    assert not needs_remote_code({"model_type": "hal9000"})


# ---- .bin files


def as_bin(folder: Path, *, zipped: bool) -> Path:
    path = folder / "model.safetensors"
    tensors = {name: value.clone() for name, value in load_file(path).items()}
    target = folder / "pytorch_model.bin"
    torch.save(tensors, target, _use_new_zipfile_serialization=zipped)
    path.unlink()
    return folder


@pytest.mark.parametrize("zipped", [True, False])
def test_a_bin_file_gives_the_same_weights(
    tiny: Path, stored: Any, options: ModelOptions, zipped: bool
):
    loaded = load(as_bin(tiny, zipped=zipped), options).state_dict()
    for name, value in load(stored("float32"), options).state_dict().items():
        assert torch.equal(loaded[name], value)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_bin_file_never_runs_as_python(tiny: Path, options: ModelOptions):
    (tiny / "model.safetensors").unlink()
    torch.save({"a": Bomb(tiny / "exploded")}, tiny / "pytorch_model.bin")
    assert "holds more than weights" in refused(tiny, options).message
    assert not (tiny / "exploded").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_bin_file_that_takes_long_is_stopped(
    tiny: Path, options: ModelOptions, monkeypatch: pytest.MonkeyPatch, zipped: bool
):
    monkeypatch.setattr(bins, "LOOK_S", 0.1)
    (tiny / "model.safetensors").unlink()
    long = b"\x80\x02}" + b"(u" * 4_000_000 + b"."
    path = tiny / "pytorch_model.bin"
    path.write_bytes(long)
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", long)
            archive.writestr("archive/version", b"3\n")
    assert "reading pytorch_model.bin takes too long" in refused(tiny, options).message


def test_a_bin_file_of_numbers_without_tensors(tiny: Path, options: ModelOptions):
    (tiny / "model.safetensors").unlink()
    torch.save([1, 2, 3], tiny / "pytorch_model.bin")
    assert "pytorch_model.bin is damaged" in refused(tiny, options).message


# ---- what is loaded


@pytest.mark.parametrize("kept", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("wanted", ["float32", "bfloat16"])
def test_weights_arrive_in_the_dtype_asked_for(
    stored: Any, options: ModelOptions, kept: str, wanted: str
):
    net = load(stored(kept), options, dtype=wanted)
    on_disk = load_file(stored(kept) / "model.safetensors")
    for name, value in net.state_dict().items():
        assert torch.equal(value, on_disk[name].to(getattr(torch, wanted))), name
    assert net.model.rotary_emb.inv_freq.dtype == torch.float32
    assert not net.training


def test_converted_weights_survive_giving_back_the_pages_of_the_files(
    stored: Any, options: ModelOptions, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(MappedFiles, "DROP_BYTES", -1)
    monkeypatch.setattr(Loading, "EVERY_S", 0.0)
    net = load(stored("float16"), options, dtype="bfloat16")
    on_disk = load_file(stored("float16") / "model.safetensors")
    for name, value in net.state_dict().items():
        assert torch.equal(value, on_disk[name].to(torch.bfloat16)), name


def test_tied_weights_are_not_missing(tmp_path: Path, options: ModelOptions):
    folder = write_llama(tmp_path / "tied", tie_word_embeddings=True)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    net = load(folder, options)
    assert net.lm_head.weight is net.model.embed_tokens.weight


def test_progress_rises_to_the_size_of_the_weights(stored: Any, options: ModelOptions):
    reports = Reports()
    net = load(stored("float16"), options, reports, dtype="float32")
    done = [progress.done for progress in reports]
    assert reports.stages == ["loading"]
    assert done == sorted(done)
    assert reports[-1].done == reports[-1].total == sum(p.nbytes for p in net.parameters())
    assert reports[-1].unit == "bytes"


@pytest.mark.parametrize("spoilt", [False, True])
def test_nothing_is_written_to_the_terminal(
    tiny: Path, options: ModelOptions, capfd: pytest.CaptureFixture[str], spoilt: bool
):
    if spoilt:
        edit_weights(tiny, model__norm__weight=torch.zeros(7))
        refused(tiny, options)
    else:
        load(tiny, options)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
def test_the_attention_kernel_can_be_chosen(stored: Any, options: ModelOptions, attn: str):
    net = load(stored("float32"), options, attn=attn)
    output = net(torch.tensor([[1, 2, 3]]), output_attentions=True)
    assert bool(output.attentions) is (attn == "eager")  # only that one has them


def test_an_attention_kernel_that_is_not_installed(stored: Any, options: ModelOptions):
    error = refused(stored("float32"), options, attn="flash")
    assert type(error) is ConfigError
    assert error.message == "--attn flash needs a CUDA GPU and the package flash-attn"
    assert error.hint == "--attn auto takes the fastest kernel that is here"


def test_a_library_that_is_not_there_is_no_bad_download(
    stored: Any, options: ModelOptions, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any, **__: Any) -> None:
        raise ImportError("no module named einops")

    monkeypatch.setattr(loading, "from_pretrained", fail)
    error = refused(stored("float32"), options)
    assert "cannot be loaded: no module named einops" in error.message
    assert error.hint == "install what is named there"


# ---- the hub without a network


def test_a_hub_id_while_offline(options: ModelOptions):
    error = refused("some-organisation/some-model", options)
    assert "offline" in error.message
    assert "glm models pull some-organisation/some-model" in error.hint


def test_a_checkpoint_is_called_by_its_folder(tiny: Path, options: ModelOptions):
    checkpoint = find_checkpoint(str(tiny), options, ignore)
    assert (checkpoint.name, checkpoint.family) == ("tiny", "llama")
    assert checkpoint.config == json.loads((tiny / "config.json").read_text())
