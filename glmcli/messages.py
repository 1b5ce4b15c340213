"""What the program says in English and in Chinese, all in one place.

Why a model is refused; the help of commands and keys; other programs' commands; what /model and
`glm bench` say; the question before a file is overwritten. Where the locale is Chinese a refusal is
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


COMMAND_HELP = {
    "help": "显示所有命令，或其中一个的说明",
    "exit": "退出；对话保留在历史记录中",
    "reset": "开始新的对话；旧对话保留在历史记录中",
    "save": "把对话写成 Markdown 文件；文件名以 .json 结尾则写成 JSON",
    "export": "按扩展名把对话写成 .md、.json 或 .jsonl",
    "load": "从 /save 写出的 JSON 文件继续对话",
    "attach": "随下一条消息发送一个文本文件，与消息中的 @文件 相同；/attach off 取消",
    "tokens": "按角色显示提示词的准确长度、窗口大小和本次会话的总计",
    "retry": "重新回答上一个问题，可同时改变设置：/retry temperature=0.2",
    "undo": "撤回上一个问题及其回答",
    "continue": "让模型接着上一条回答继续写",
    "edit": "在编辑器中写一条消息；给出 N 时修改第 N 个问题，并从那里继续",
    "copy": "复制上一条回答，或其中第 N 个代码块",
    "redraw": "重新显示上一条回答",
    "thinking": "显示上一条回答的思考过程，或选择显示方式",
    "think": "选择推理模型是否思考（模型支持时）",
    "system": "显示或设置系统提示词（可用 @文件）；/system off 删除",
    "model": "显示当前模型，或换一个模型继续：文件夹、模型 id，或 引擎:名称 及其网址",
    "set": "显示或修改设置；default 恢复模型默认值",
    "multiline": "切换回车键：发送，或换行（此时用 Alt-Enter 发送）",
    "history": "列出最近的对话，或包含某些词的对话",
    "resume": "继续另一个对话；不带 ID 时继续上一个",
    "summary": "显示代替最早几轮发送的摘要；/summary off 恢复发送原文",
    "title": "显示或修改对话的标题",
    "fork": "在副本中继续；原对话保持不变",
    "tree": "显示本对话所有分支上的问题",
    "goto": "转到以 /tree 中第 N 个问题结尾的分支",
    "stats": "显示本次会话的用量和速度",
}
"""What each slash command does, for people whose locale is Chinese."""

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

MOVED = {
    "empty": Line("now {model}", "现在是 {model}"),
    "nothing": Line(
        "now {model}; how full this conversation makes its window is not known",
        "现在是 {model}；本对话占用其窗口多少未知",
    ),
    "size, window": Line(
        "now {model}; this conversation is {size:,} of {window:,} tokens there",
        "现在是 {model}；本对话在其 {window:,} 个 token 的窗口中占 {size:,} 个",
    ),
    "size": Line(
        "now {model}; this conversation is {size:,} tokens there",
        "现在是 {model}；本对话共 {size:,} 个 token",
    ),
    "window": Line(
        "now {model}, with a window of {window:,} tokens; its next reply tells how full that is",
        "现在是 {model}，窗口为 {window:,} 个 token；占用情况见下一条回答",
    ),
    "loading": Line(
        "{model} is being loaded; the conversation goes on with it",
        "正在加载 {model}；对话将由它继续",
    ),
    "stays": Line("the conversation stays with {model}", "对话仍由 {model} 继续"),
}
"""What /model says, by what is known of the new model."""
FULL = {
    "stop": Line(
        "too long: the next question will be refused; /reset starts anew",
        "过长：下一个问题将被拒绝；/reset 开始新的对话",
    ),
    "drop-oldest": Line("too long: the oldest turns will not be sent", "过长：最早的几轮不会发送"),
    "summarise": Line(
        "too long: a summary of the oldest turns will be sent", "过长：最早的几轮将以摘要发送"
    ),
}
"""What becomes of a conversation that does not fit the new model's window."""


def moved(known: str, **values: object) -> str:
    """What /model says, in the language of the locale."""
    return spoken(MOVED[known], **values)


def too_long(context: str) -> str:
    """What becomes of a conversation that does not fit, by the setting `context`."""
    return spoken(FULL[context])


def spoken(line: Line, **values: object) -> str:
    """A line that nobody needs to search for: in one language."""
    return (line.zh if chinese_locale() else line.en).format(**values)


KEYS_HELP = Line(
    "Enter sends; Alt-Enter or Ctrl-J makes a new line; Ctrl-C stops a reply; Tab completes. "
    "Ctrl-R searches what was typed; Ctrl-X Ctrl-E opens the editor; Ctrl-O shows a paste or the "
    "last reasoning; Ctrl-Z suspends; Ctrl-D leaves.",
    "回车发送；Alt-Enter 或 Ctrl-J 换行；Ctrl-C 停止回答；Tab 补全。"
    "Ctrl-R 搜索输入历史；Ctrl-X Ctrl-E 打开编辑器；Ctrl-O 展开粘贴的内容或显示思考过程；"
    "Ctrl-Z 挂起；Ctrl-D 退出。",
)


LEAVE = Line("/exit leaves", "/exit 退出")
ANEW = Line("/reset starts a new conversation", "/reset 开始新的对话")
LIST = Line(
    "/history lists the conversations, or those that hold WORDS",
    "/history 列出对话，或包含某些词的对话",
)
STOP = Line("Ctrl-C stops a reply, /exit leaves", "Ctrl-C 停止回答，/exit 退出")
WORDS = {
    "exit": LEAVE,
    "quit": LEAVE,
    "退出": LEAVE,
    "clear": ANEW,
    "清空": ANEW,
    "stop": STOP,
    "停止": STOP,
}
"""Words that other chats take as commands, and what does it here. They are never sent."""
OTHER_COMMANDS = {**WORDS, "bye": LEAVE, "new": ANEW, "list": LIST, "search": LIST}
"""What other chats call their commands behind the slash; without it some are words to be sent."""


def command_for(text: str) -> str:
    """What a word that other chats take as a command is called here; "" for all else."""
    return said_of(text.strip(), WORDS)


def slash_command_for(word: str) -> str:
    """What another chat's /word is called here; "" for all else."""
    return said_of(word, OTHER_COMMANDS)


def said_of(word: str, words: dict[str, Line]) -> str:
    """The line for a word, in the language of the locale or of the word; "" if there is none."""
    line = words.get(word.lower())
    if line is None:
        return ""
    return line.en if word.isascii() and not chinese_locale() else line.zh


def command_help(name: str, english: str) -> str:
    """The help line of a slash command in the language of the locale."""
    return COMMAND_HELP.get(name, english) if chinese_locale() else english


OVERWRITE = Line("{path} exists already: overwrite it?", "{path} 已存在，要覆盖吗？")


def overwrite_question(path: object) -> str:
    """The question before a file is overwritten, in the language of the locale."""
    return spoken(OVERWRITE, path=path)


def keys_help() -> str:
    """The keys, in the language of the locale."""
    return KEYS_HELP.zh if chinese_locale() else KEYS_HELP.en
