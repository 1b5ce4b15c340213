"""What the program says in English and in Chinese, all in one place.

The help of commands and keys; other programs' commands; what /model says; the question before a
file is overwritten. Where the locale is Chinese a refusal is
given in both languages, so that either can be searched for; all else in one. Knows nothing of who
says it or where it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

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
