"""What the program says in English and in Chinese, all in one place; of servers: `trouble`.

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

LINES = {
    "silent": Line("{host} sent nothing for {seconds:.0f} s", "{host} 已 {seconds:.0f} 秒没有响应"),
    "silent-hint": Line(
        "it may be overloaded or frozen; /retry asks again, --timeout waits longer",
        "服务器可能过载或卡死；/retry 重新提问，--timeout 可延长等待",
    ),
    "cut-off": Line(
        "{host} stopped before the reply was complete", "{host} 在回答完成之前中断了连接"
    ),
    "cut-off-hint": Line(
        "/retry asks again; the server's own log may say why",
        "/retry 重新提问；原因可能在服务器自己的日志里",
    ),
    "refused": Line("{host} refused ({status})", "{host} 拒绝了请求（{status}）"),
    "moved": Line("{host} moved to {where}", "{host} 已迁往 {where}"),
    "page": Line("{host} sent a web page, not an answer", "{host} 返回的是网页，不是回答"),
    "key": Line("set GLM_API_KEY to its key", "请将 GLM_API_KEY 设为该服务器的密钥"),
    "other-key": Line("set GLM_API_KEY to another key", "请将 GLM_API_KEY 设为另一个密钥"),
    "host-key": Line(
        "correct the key of {host} under [keys] in config.toml",
        "请更正 config.toml 的 [keys] 中 {host} 的密钥",
    ),
    "no-key": Line(
        "no key was sent to an address from .env; give the address with --base-url",
        "未向 .env 中的地址发送密钥；请用 --base-url 给出地址",
    ),
    "busy": Line(
        "the server is busy or still loading; /retry in a moment",
        "服务器繁忙或仍在加载；请稍后 /retry",
    ),
    "busy-until": Line(
        "the server is busy or still loading; /retry in {seconds} s",
        "服务器繁忙或仍在加载；请在 {seconds} 秒后 /retry",
    ),
    "address": Line(
        "check --base-url: for openai: it often ends in /v1, for fastchat: it never does",
        "请检查 --base-url：openai: 的地址通常以 /v1 结尾，fastchat: 的则不会",
    ),
    "settings": Line(
        "check the name of the model and the sampling settings", "请检查模型名称和采样设置"
    ),
    "start": Line(
        "start the server, or give its address with --base-url",
        "请启动服务器，或用 --base-url 给出其地址",
    ),
    "no-answer": Line(
        "{host} did not answer within {seconds:.0f} s", "{host} 在 {seconds:.0f} 秒内没有应答"
    ),
    "proxy": Line("the proxy does not reach {host}", "代理无法连接 {host}"),
    "proxy-hint": Line("check HTTPS_PROXY and NO_PROXY", "请检查 HTTPS_PROXY 和 NO_PROXY"),
    "nobody": Line("nothing listens at {host}", "{host} 上没有服务在监听"),
    "unknown": Line("{host} is not a known host", "找不到主机 {host}"),
    "unknown-hint": Line("check --base-url and the network", "请检查 --base-url 和网络"),
    "certificate": Line("the certificate of {host} is not trusted", "{host} 的证书不受信任"),
    "certificate-hint": Line(
        "SSL_CERT_FILE can name the certificate of your own authority",
        "可用 SSL_CERT_FILE 指定自己的证书颁发机构",
    ),
    "no-tls": Line("{host} does not speak TLS", "{host} 不支持 TLS"),
    "no-tls-hint": Line("try http:// instead of https://", "请用 http:// 代替 https://"),
    "unreachable": Line("{host} cannot be reached", "无法连接 {host}"),
    "too-much": Line(
        "{host} sent more than {size}: no server needs that",
        "{host} 发送的内容超过 {size}：正常的服务器不会这样",
    ),
    "idle": Line(
        "{host} sent signs of life but no text for {seconds:.0f} s",
        "{host} 在 {seconds:.0f} 秒内只发送了心跳，没有文字",
    ),
    "worker-address": Line(
        "{host} names a worker at {where}, where none can be",
        "{host} 给出的 worker 地址 {where} 不可用",
    ),
    "worker-address-hint": Line(
        "give the worker's own address with --base-url, if you trust it",
        "如果信任该 worker，请用 --base-url 直接给出其地址",
    ),
    "garbled": Line("{host} sent what is no message", "{host} 返回的内容无法识别"),
    "garbled-hint": Line(
        "is it the right kind of server? check --model and --base-url",
        "服务器类型是否正确？请检查 --model 和 --base-url",
    ),
}


def said(name: str, *, detail: str = "", **values: object) -> str:
    """A line in the user's language, and behind it what the server or the system says."""
    line = LINES[name].fill(values, chinese=chinese_locale())
    return f"{line}: {detail}" if detail else line
