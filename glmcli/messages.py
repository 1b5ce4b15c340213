"""What the program says in English and in Chinese, all in one place.

Why a model is refused, and what `glm bench` says. Where the locale is Chinese a refusal is
given in both languages, so that either can be searched for; all else in one. Knows nothing of who
says it or where it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from glmcli.errors import ModelError
from glmcli.language import chinese_locale


@dataclass(frozen=True, slots=True)
class Line:
    """One line in both languages, with {fields}."""

    en: str
    zh: str

    def fill(self, values: dict[str, object], *, chinese: bool) -> str:
        """The line with its fields filled in."""
        english = self.en.format(**values)
        return f"{self.zh.format(**values)}（{english}）" if chinese else english


CONVERT = Line("use the fp16 checkpoint of this model", "请使用该模型的 fp16 权重")
INSTALL = Line(
    'install one that was tested: pip install "transformers>=5.0,<6"',
    '请安装经过测试的版本：pip install "transformers>=5.0,<6"',
)
DOWNLOAD_AGAIN = Line("download the model again", "请重新下载该模型")

REFUSALS: dict[str, tuple[Line, Line]] = {
    "no-transformers": (
        Line("transformers is not installed", "未安装 transformers"),
        INSTALL,
    ),
    "transformers-version": (
        Line(
            "transformers {installed} cannot be used: it must be 5.0 or later, before 6",
            "transformers {installed} 不可用：需要 5.0 或更高且低于 6 的版本",
        ),
        INSTALL,
    ),
    "first-generation": (
        Line(
            "{name} is ChatGLM-6B, the first generation: transformers has no class for it",
            "{name} 是第一代 ChatGLM-6B，transformers 中没有对应的模型类",
        ),
        Line(
            "use its successor with the same API: -m zai-org/chatglm3-6b",
            "请改用后续版本：-m zai-org/chatglm3-6b",
        ),
    ),
    "prefix-encoder": (
        Line(
            "{name} has a P-tuning prefix encoder (pre_seq_len), which cannot be loaded",
            "{name} 带有 P-tuning 前缀编码器（pre_seq_len），无法加载",
        ),
        Line(
            "load the base model, or merge a LoRA fine-tune of it into the weights",
            "请加载基础模型，或改用 LoRA 微调并合并权重",
        ),
    ),
    "quantized": (
        Line(
            "{name} was quantised to {bits} bits by ChatGLM's own kernels (quantization_bit)",
            "{name} 是 ChatGLM 自带 {bits} 位量化的权重（quantization_bit），无法加载",
        ),
        CONVERT,
    ),
    "rope": (
        Line(
            "{name} sets original_rope to false: its rotary layout has no equivalent here",
            "{name} 的 original_rope 为 false，其旋转位置编码不受支持",
        ),
        Line(
            "use a chat model such as zai-org/chatglm3-6b", "请改用对话模型，如 zai-org/chatglm3-6b"
        ),
    ),
    "vision": (
        Line(
            "{name} reads pictures too (like CogAgent or GLM-4V); only text models can be loaded",
            "{name} 是多模态模型（如 CogAgent、GLM-4V），目前只支持纯文本模型",
        ),
        Line(
            "use a text model such as zai-org/glm-4-9b-chat",
            "请改用文本模型，如 zai-org/glm-4-9b-chat",
        ),
    ),
    "no-equivalent": (
        Line(
            "{name} sets {key} to {value} in config.json, which has no equivalent here",
            "{name} 的 config.json 中 {key} 为 {value}，不受支持",
        ),
        Line(
            "use an unmodified ChatGLM2, ChatGLM3 or GLM-4 checkpoint",
            "请使用未修改的 ChatGLM2、ChatGLM3 或 GLM-4 权重",
        ),
    ),
    "incomplete-config": (
        Line("{name} has no {key} in config.json", "{name} 的 config.json 缺少 {key}"),
        DOWNLOAD_AGAIN,
    ),
    "no-tokenizer": (
        Line("{name} has no tokenizer.model", "{name} 缺少 tokenizer.model"),
        DOWNLOAD_AGAIN,
    ),
    "bad-tokenizer": (
        Line(
            "{name}: tokenizer.model is neither a SentencePiece model nor a tiktoken vocabulary",
            "{name}：tokenizer.model 既不是 SentencePiece 模型，也不是 tiktoken 词表",
        ),
        DOWNLOAD_AGAIN,
    ),
    "lfs-pointer": (
        Line(
            "{file} is a Git LFS pointer, not the file itself",
            "{file} 只是 Git LFS 指针，文件本身尚未下载",
        ),
        Line("run git lfs pull in {folder}", "请在 {folder} 中运行 git lfs pull"),
    ),
    "shard-missing": (
        Line(
            "{file} is named in the index but is not there",
            "索引文件中列出的 {file} 不存在",
        ),
        DOWNLOAD_AGAIN,
    ),
    "tensor-missing": (
        Line(
            "the index says that {tensor} is in {file}, but it is not",
            "索引文件称 {tensor} 在 {file} 中，但实际没有",
        ),
        DOWNLOAD_AGAIN,
    ),
    "tensor-not-indexed": (
        Line(
            "{tensor} is in {file} but not in the index",
            "{file} 中的 {tensor} 不在索引文件里",
        ),
        Line(
            "the index and the shards come from different downloads: download the model again",
            "索引与分片来自不同的下载，请重新下载该模型",
        ),
    ),
}
"""Reason -> what happened, and what to do about it."""


def refusal(reason: str, /, **values: object) -> ModelError:
    """The error to raise for a reason in `REFUSALS`, in the user's language."""
    chinese = chinese_locale()
    message, hint = REFUSALS[reason]
    return ModelError(
        message.fill(values, chinese=chinese),
        hint.fill(values, chinese=chinese),
    )


BENCH = {
    "model": Line("model", "模型"),
    "device": Line("device", "设备"),
    "runs-as": Line("runs as", "运行方式"),
    "threads": Line("processor threads", "处理器线程"),
    "weights": Line("weights read per token", "每个词元读取的权重"),
    "load": Line("load", "加载"),
    "cold": Line("load and first token", "加载到首个词元"),
    "memory": Line("peak memory", "内存峰值"),
    "device-memory": Line("peak device memory", "设备内存峰值"),
    "bandwidth": Line("memory bandwidth", "内存带宽"),
    "share": Line("share of it used in decoding", "解码时占带宽的比例"),
    "prompt": Line("prompt tokens", "提示词词元数"),
    "prefill": Line("prefill", "预填充"),
    "first": Line("first token", "首个词元"),
    "next": Line("next turn's first token", "下一轮首个词元"),
    "decode": Line("decode", "解码"),
    "compared": Line("compared", "比较"),
    "positions": Line("positions", "位置数"),
    "kl-mean": Line("KL divergence, mean", "KL 散度，平均"),
    "kl-p99": Line("KL divergence, 99th percentile", "KL 散度，第 99 百分位"),
    "kl-worst": Line("KL divergence, worst", "KL 散度，最大"),
    "same-best": Line("same most likely token", "首选词元一致"),
}
"""What the rows and columns of `glm bench` are called."""
