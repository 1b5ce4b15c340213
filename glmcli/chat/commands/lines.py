"""How a typed line becomes a command; and where it is none, which was meant.

A line of another program, of a shell, or behind another sign is told what it is here.
"""

from __future__ import annotations

import difflib
import re
import shlex
from dataclasses import fields

from glmcli.chat.commands.table import COMMANDS, EVERYTHING, Chat
from glmcli.config import setting_fields, variable
from glmcli.config.values import OFF, plain_signs
from glmcli.errors import UsageError
from glmcli.language import in_one_line, later, tr
from glmcli.paths import is_file, path_of, system_as_word
from glmcli.types import GenerationParams

PARAMS = [item.name for item in fields(GenerationParams)]
DISPLAY = {"markdown": "plain", "stats": "stats", "thinking": "thinking", "notify": "notify"}
"""Names for how replies are shown, and the settings behind them."""
CONTEXT = "context"
"""The setting that decides about a prompt that does not fit."""
SET_HERE = (*PARAMS, *DISPLAY, CONTEXT)
"""What /set sets."""
BY_COMMAND = ("model", "system", "role")
"""Settings that a command of their own sets."""
NO_OPTION = ("home", "cache", "warm", "keep", "host")
"""Settings that `glm chat` has no option for."""
WITH_NO = ("fused", "speculate")
"""Those whose option turns them off as `--no-NAME`."""
PAIR = re.compile(r"([^\s=:]*)(?:\s*[=:]\s*|\s*)(.*)", re.DOTALL)
_HELP = "?"
"""Another name for /help."""
OFTEN = {"/exit": later("/exit leaves"), "/reset": later("/reset starts a new conversation")}
"""Commands that are missed most, and what they do."""
_NO_PROGRAMS = later("a chat runs no programs: that is for a shell")
WORDS = {
    **dict.fromkeys(
        ("exit", "quit", "退出", ":q", ":q!", ":wq", ":x", "exit()", "quit()"), "/exit"
    ),
    **dict.fromkeys(("clear", "清空"), "/reset"),
    **dict.fromkeys(("stop", "停止"), later("Ctrl-C stops a reply, /exit leaves")),
    **dict.fromkeys(("help", "?", "？", "帮助"), "/help"),
}
"""What other programs take as commands without a slash, and what it is here. Never sent."""
SLASH_WORDS = {
    **WORDS,
    **dict.fromkeys(("bye", "q", "leave", "close", "x", "logout"), "/exit"),
    **dict.fromkeys(("new", "forget", "restart", "cls", "clean"), "/reset"),
    **dict.fromkeys(("list", "search", "find", "sessions", "chats", "grep"), "/history X"),
    **dict.fromkeys(("settings", "config", "options", "params", "param", "parameter"), "/set X"),
    **dict.fromkeys(("get", "设置"), "/set X"),
    **dict.fromkeys(("重试", "重新生成"), "/retry"),
    "温度": "/set temperature X",
    "模型": "/model X",
    "保存": "/save X",
    "历史": "/history X",
    "角色": "/role X",
    **dict.fromkeys(("temp", "t"), "/set temperature X"),
    **dict.fromkeys(("num_predict", "n_predict", "max", "maxtokens"), "/set max_tokens X"),
    **dict.fromkeys(("max_new_tokens", "max_length", "tokens-max"), "/set max_tokens X"),
    **dict.fromkeys(("repeat_penalty", "rep_pen"), "/set repetition_penalty X"),
    **dict.fromkeys(("num_ctx", "n_ctx", "ctx_size", "context_length"), "glm chat --window X"),
    **dict.fromkeys(("file", "read", "add", "upload", "image", "open", "files"), "/attach X"),
    **dict.fromkeys(("attachments", "include", "paste-file", "a"), "/attach X"),
    **dict.fromkeys(("regenerate", "redo", "again", "regen", "rerun"), "/retry"),
    **dict.fromkeys(("branch", "branches"), "/tree"),
    **dict.fromkeys(("usage", "cost", "info", "timings", "speed"), "/stats"),
    **dict.fromkeys(("nothink", "no_think", "no-think"), "/think off"),
    "verbose": "/set stats on",
    "quiet": "/set stats off",
    **dict.fromkeys(("compact", "compress", "summarise", "summarize"), "/set context summarise"),
    **dict.fromkeys(("rename", "name"), "/title X"),
    **dict.fromkeys(("h", "commands", "man"), "/help X"),
    **dict.fromkeys(("persona", "agent", "roles"), "/role X"),
    **dict.fromkeys(("show", "last", "print"), "/redraw"),
    **dict.fromkeys(("use", "switch", "m"), "/model X"),
    "models": later("in a shell: glm models list; here Tab behind /model lists them"),
    **dict.fromkeys(("run", "shell", "sh", "bash", "exec", "cmd", "!"), _NO_PROGRAMS),
    **dict.fromkeys(("show info", "show model", "show modelfile"), "/model"),
    **dict.fromkeys(("show parameters", "show settings"), "/set"),
    "show system": "/system",
    **dict.fromkeys(("clipboard", "yank", "cp"), "/copy X"),
    **dict.fromkeys(("write", "w", "dump"), "/save X"),
    **dict.fromkeys(("import", "restore"), "/load X"),
    **dict.fromkeys(("editor", "e", "vi", "vim"), "/edit X"),
    **dict.fromkeys(("prompt", "sys", "s"), "/system X"),
    **dict.fromkeys(("count", "context-size", "ctx"), "/tokens"),
    **dict.fromkeys(("session", "conversation"), "/resume X"),
    **dict.fromkeys(("back", "rewind", "pop", "撤销"), "/undo"),
    **dict.fromkeys(("reasoning", "reason", "thinkmode"), "/think X"),
    **dict.fromkeys(("drop", "detach"), "/attach off"),
    **dict.fromkeys(("lang", "language"), "LC_ALL=zh_CN.UTF-8 glm chat"),
    "theme": later("colours are those of the terminal; NO_COLOR=1 leaves them out"),
    **dict.fromkeys(("login", "key", "keys", "auth"), "/set api_key"),
    "version": "glm --version",
    "stream": later("in a chat each reply streams"),
    **dict.fromkeys(("format", "格式"), "glm ask --format X"),
    "ml": "/multiline",
    **dict.fromkeys(("pull", "download"), "glm models pull X"),
    **dict.fromkeys(("delete", "rm"), "glm history delete X"),
    "bench": "glm bench",
}
"""The same behind a slash, with X for what is behind it; without it the others are text."""


_OTHER_SIGN = re.compile(r"(?:[\\.、。·!！]|/ +)([^\W\d_]+)((?: .*)?)")
_OPTION = re.compile(r"(?:--|[-‐‑‒–—―−－]+(?=\w))-?([^\W\d_][\w-]*)(?:[ =:＝：]+(\S+))?")
"""A line that is one option of `glm chat`, with whatever its keyboard makes of hyphens."""
_OF_SHELL = re.compile(
    r"glm (?:(?:models|history|config|roles) [a-z]+(?: [^ ]+)?|[a-z]+|.*(?<= )-.*)"
)
_ASKS = re.compile(r"glm (?:ask|chat) (?!-)(.*[^?？])")
_PROGRAM = re.compile(
    r"ls|cd|pwd|dir|git (?:status|log|diff|pull|push)"
    r"|(?:ls|cd|cat|git|python3?|pip|make|grep|find|head|mkdir|rm|cp|mv|vim?|dir)"
    r"(?: (?:-[\w-]+|\.\.?|[^ ]*[./][^ ]+))+"
    r"|!(?:ls|cd|cat|pwd|git|python3?|pip|make|grep|find|echo|head|mkdir|rm)\b.*"
)


def suggestion(word: str, rest: str = "") -> str:
    """A hint for a word that is not a command: the whole line that was meant."""
    name, *value = re.split("[=:＝：]", word, maxsplit=1)
    hint = said_of(line_for(name, " ".join([*value, rest]).strip())) or tr(
        "/help lists the commands"
    )
    return in_one_line(hint, tr("//{word} sends it as text", word=word))


def line_for(word: str, rest: str = "", *, near: bool = True) -> str:
    """The command of the chat, or of the shell, that a word behind a slash was meant for, or is
    `near`, with the rest of its line, or how to do it; "" if there is none.
    """
    word, first = word.lower(), rest.split(maxsplit=1)[:1]
    name = word.replace("-", "_")
    if near and f"{word} {rest}".lower() in SLASH_WORDS:
        return SLASH_WORDS[f"{word} {rest}".lower()]
    if word in COMMANDS:
        known = f"/{word} X"
    elif word in SLASH_WORDS:
        known = SLASH_WORDS[word]
    elif name in SET_HERE:
        known = f"/set {name} X"
    elif name in setting_fields():
        return way_to_set(name, rest)
    elif (
        name[:3] == "set"
        and name[5:]
        and (line := line_for(name[3:].lstrip("_"), rest, near=False))
    ):
        return line
    elif near and (alike := command_near(word)):
        known = SLASH_WORDS.get(alike, f"/{alike} X")
        known = f"/set {alike} X" if alike in SET_HERE and alike not in COMMANDS else known
    else:
        return ""
    if known == "/attach X" and first and first[0] != rest and is_file(path_of(first[0])):
        return files_line(rest)
    if known == "/system X" and system_as_word(rest):
        return f"/system @{rest}"
    rest = "" if known == "/history X" and rest in EVERYTHING else rest
    known = "/retry X" if known == "/retry" and "=" in rest else known
    takes = known.split()[0][1:] not in COMMANDS or COMMANDS[known.split()[0][1:]].usage
    line = known.replace("X", rest if takes else "").strip() if " X" in known else known
    return set_line(line.removeprefix("/set ")) if line.startswith("/set ") else line


def set_line(text: str) -> str:
    """The line that sets what was meant by `parameter temperature 1` or `set temperature=1`."""
    name, value = PAIR.fullmatch(text.strip()).groups()  # type: ignore[union-attr]
    name = name.lstrip("-").replace("-", "_")
    if name in SET_HERE:
        return f"/set {name} {re.sub('^(?:to|is) ', '', value)}".strip()
    again = line_for(name, value, near=False)
    return again if again.startswith(("/set ", "glm ")) or " " in again else f"/set {text}"


def files_line(text: str) -> str:
    """Files, and words behind them, as one line sends them."""
    return " ".join(f"@{word}" if is_file(path_of(word)) else word for word in text.split())


def way_to_set(name: str, value: str = "") -> str:
    """How a setting is set, to a `value`, that is fixed while a chat runs."""
    typed = shlex.quote(value) if value else "VALUE"
    item = setting_fields()[name]
    if item.metadata.get("secret"):
        return tr("before a chat begins: {variable} in the environment", variable=variable(name))
    if name in NO_OPTION:
        return tr("in a shell: {line}", line=f"glm config set {name} {typed}")
    option = "no-save" if name == "history" else name.replace("_", "-")
    takes = not str(item.type).startswith("bool")
    if name in WITH_NO and value and value.lower() in OFF:
        option = f"no-{option}"
    return tr(
        "before a chat begins: glm chat --{option}", option=f"{option} {typed}" if takes else option
    )


def said_of(line: str) -> str:
    """How a command is offered in a hint."""
    if line in OFTEN:
        return tr(OFTEN[line])
    if not line.startswith("glm "):
        return tr("did you mean {near}?", near=line) if line[:1] in ("/", "@") else tr(line)
    return tr("in a shell: {line}", line=line)


def command_near(word: str) -> str:
    """The command, here or elsewhere, that a word is nearest to; "" if none is near."""
    names = [*COMMANDS, *SLASH_WORDS, *SET_HERE]
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.8)
    return next(iter(near or difflib.get_close_matches(word, COMMANDS, n=1)), "")


def command_for(text: str) -> str:
    """How to do here what a bare word does in other programs, a line of the shell, or a command
    behind another sign than its slash; "" for all other texts.
    """
    text = text.strip()
    line = WORDS.get(text.lower(), "")
    found = _OTHER_SIGN.fullmatch(text)
    if found and (found[1] in COMMANDS or found[1] in WORDS):
        line = line_for(found[1], found[2].strip(), near=False)
    elif (found := _OPTION.fullmatch(text)) and is_flag(found[1], found[2]):
        line = line_for(found[1], plain_signs(found[2] or ""), near=False)
    elif found := _ASKS.fullmatch(text):
        return tr("here the question alone is typed: {text}", text=found[1])
    elif _OF_SHELL.fullmatch(text):
        line = text
    elif _PROGRAM.fullmatch(text):
        line = _NO_PROGRAMS
    return said_of(line) if line else ""


def is_flag(name: str, value: str | None) -> bool:
    """Whether a name behind dashes is one of a command or a setting; one letter needs a value."""
    if not name[1:]:
        return bool(value) and name in "mst"
    return bool({name, name.replace("-", "_")} & {*COMMANDS, *SLASH_WORDS, *setting_fields()})


def run_command(chat: Chat, line: str) -> str:
    """Run a `/word` line; returns a text to show. Raises UsageError and its own errors."""
    word, *rest = line.strip()[1:].split(maxsplit=1)
    word = "help" if plain_signs(word) == _HELP else word
    word = plain_signs(word) if plain_signs(word) in COMMANDS else word
    if word not in COMMANDS:
        raise UsageError(tr("there is no command /{word}", word=word), suggestion(word, *rest))
    found = COMMANDS[word]
    if rest and not found.usage:
        alone = tr("/{word} alone: {help}", word=word, help=found.help)
        hint = said_of(f"/set {word} {rest[0]}") if word in SET_HERE else alone
        raise UsageError(tr("/{word} takes nothing after it", word=word), hint)
    return found.run(chat, rest[0] if rest else "")
