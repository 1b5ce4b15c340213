"""The words of a command line that are no options: names, ids, files, texts, numbers."""

from __future__ import annotations

import re
from pathlib import Path
from shlex import quote
from typing import Any

from glmcli.cli.hints.elsewhere import VALUES_ELSEWHERE
from glmcli.cli.hints.known import (
    group_of,
    has_input,
    is_conversation,
    looks_like_id,
    names_model,
    newest_conversation,
)
from glmcli.cli.hints.line import MeantLine, names_table, nearest_word, reason
from glmcli.cli.hints.tree import arity, metavar_of, role_list, setting_takes, takes_value
from glmcli.cli.hints.values import near_built_in, question_in, setting_value
from glmcli.config import setting_fields
from glmcli.language import later, tr
from glmcli.paths import is_file
from glmcli.store.results import NEWEST

NO_TEXT = (
    r"-?[0-9][0-9.,]*[a-zA-Z%]{0,3}",
    r"[\w.~-]*/[\w./~-]*",
    r"[\w-]+\.[a-z][a-z0-9]{1,4}",
    r"\w+[=:]\S+",
    r"[{\[].*",
)
"""A number with its unit, a path, the name of a file, a pair, JSON: what is no question."""
ONE_TEXT = {"glm history search": 0, "glm history rename": 1, "glm config set": 1}
"""Commands whose last argument is a text, and how many arguments stand before it."""
LEAST_WORDS = {"glm stop": 1, "glm config set": 2}
"""How many arguments a command needs, where the parser takes fewer."""
OF_REVISION = later("the revision goes behind the id: -m ORG/NAME@REVISION")
OF_IDS = ("show", "delete", "rename", "export", "undelete")
MODEL_FLAGS = {"-m", "--model"}
OF_MODELS = (
    "glm models show",
    "glm models pull",
    "glm models remove",
    "glm bench",
    "glm serve",
    "glm stop",
)
"""Commands whose argument is a model, which may be the built-in one."""
OF_KEPT = {"stop": "stop", "kill": "stop", "down": "stop", "status": "ps", "ps": "ps"}
"""Words behind a server's command that are none of its, and the commands that are meant."""
WITHOUT_QUESTION = ("-a", "--file", "--each", "--messages")
"""Options of `glm ask` that ask something by themselves."""
OF_TEXT = ("-s", "--system", "--stop")
"""Options that take any text: a question too, if their own was left out."""
_OF_REQUEST = re.compile(r"(https?://[^/\s]+)/(?:v1|api)(?:/\S*)?")
_COLON = re.compile(r"^([\w-]+)[:：＝](?=[^/\s])")
_OF_ECHO = re.compile(r"echo:([^=]+)")
_PORT = re.compile("[0-9]{3,5}")
_HEAD = (*NEWEST, "head", "@", "head~0")


def is_file_word(word: str) -> bool:
    """Whether a word is the name of a file that is there."""
    return bool(word) and is_file(Path(word))


def is_no_text(word: str) -> bool:
    """Whether a word is the value of an option rather than a question."""
    return is_file_word(word) or any(re.fullmatch(form, word, re.DOTALL) for form in NO_TEXT)


def arranged(line: MeantLine) -> list[list[str]]:
    """The words of a line as its command takes them: the line, or several that do what it meant."""
    if {"--help", "-h"} & line.given:
        line.words = []
        return [line.typed()]
    line.words = [*line.words, *line.last]
    address_as_option(line)
    flags_typed_as_words(line)
    line.words = [near_word(word, line.path, at) for at, word in enumerate(line.words)]
    if line.path in ("glm ask", "glm chat"):
        model_as_option(line)
        with_attached(line)
        if "--resume" in line.given:
            line.take_out("-c", "--continue")
    if line.path == "glm ask":
        line.words = [question_in(word) or word for word in line.words]
        prompt_as_word(line)
        words_as_prompt(line)
    if line.path == "glm config set" and (lines := of_pairs(line)):
        return lines
    before = ONE_TEXT.get(line.path, len(line.words))
    words, text = line.words[:before], line.words[before:]
    if line.path == "glm config set" and text:
        line.words = [*words, *of_setting(line, words[0], text)]
    elif text[1:]:
        line.words = [*words, " ".join(text)]
    if line.path.startswith("glm history "):
        of_history(line)
    if line.path in OF_MODELS:
        serves = line.path in ("glm stop", "glm serve")
        numbers = [word for word in line.words if word.isdecimal() and not serves]
        line.words = [word for word in line.words if word not in numbers]
        for word in numbers:
            line.leave_out(word)
    if line.revision:
        with_revision(line)
    if line.path in ("glm serve", "glm bench"):
        of_running(line)
    needed, most = arity(line.command)
    if most is not None and len(line.words) > most:
        if most == 1:
            return each_apart(line)
        no_words(line)
    needed = needed if "--all" in line.typed() else LEAST_WORDS.get(line.path, needed)
    if len(line.words) < needed:
        with_signs(line)
    if line.has_taken and line.path == "glm ask":
        with_a_question(line)
    return [line.typed()]


def near_word(word: str, path: str, at: int) -> str:
    """The first argument of a command put right, if it is the name of something there is."""
    if at:
        return word
    group, _, name = path.rpartition(" ")
    if group == "glm config" and name in ("set", "get", "unset"):
        setting, equals, value = _COLON.sub(r"\1=", word).partition("=")
        setting = setting.rstrip(":") if not equals else setting
        bare = setting.lstrip("-").replace("-", "_").lower().removeprefix("glm_")
        known = names_table(VALUES_ELSEWHERE)["setting"].items()
        bare = next((here for names, here in known if bare in names.split()), bare)
        return f"{nearest_word(bare, sorted(setting_fields())) or setting}{equals}{value}"
    if path in OF_MODELS:
        is_port = path == "glm serve" and _PORT.fullmatch(word.partition(":")[2])
        return word if is_port else near_built_in(word) or word
    if path == "glm roles show":
        return nearest_word(word, role_list()) or word
    return word


def with_revision(line: MeantLine) -> None:
    """The revision of a model behind its name."""
    item = next((item for item in line.options if item[0] in MODEL_FLAGS), None)
    if item is not None:
        item[-1] = f"{item[-1]}@{line.revision}"
    elif line.path in OF_MODELS and line.words:
        line.words = [f"{line.words[0]}@{line.revision}", *line.words[1:]]
    else:
        line.leave_out(line.revision, why=tr(OF_REVISION))


def prompt_as_word(line: MeantLine) -> None:
    """`--prompt` is the question's where there is no --each."""
    if "--each" in line.given:
        return
    if any(re.search(r"\{\w+\}", item[-1]) for item in line.options if item[0] == "--prompt"):
        line.words = []
        line.add("--each", "FILE")
    else:
        line.words = [*line.words, *line.take_out("--prompt")]


def words_as_prompt(line: MeantLine) -> None:
    """Words beside --each are its --prompt."""
    if line.lacking == "--prompt" and line.words:
        line.take_out("--prompt")
        line.lacking = ""
    if "--each" in line.given and "--prompt" not in line.given and line.words:
        text = " ".join(line.words)
        line.words = []
        line.add("--prompt", text if re.search(r"\{\w+\}", text) else f"{text} {{text}}")


def model_as_option(line: MeantLine) -> None:
    """A model's name as the first word goes behind -m, in a line that names none."""
    words = line.words
    if words and names_model(words[0]) and not line.given & MODEL_FLAGS:
        line.words = words[1:]
        line.add("-m", words[0])
        line.has_taken = not words[1:] and not has_input()
    for item in line.options:
        if item[0] in MODEL_FLAGS and (found := _OF_ECHO.fullmatch(item[-1])):
            item[-1] = "echo:"
            line.words = [found[1], *line.words]


def address_as_option(line: MeantLine) -> None:
    """The address that a request would go to is where the model's server is."""
    for word in line.words:
        if (found := _OF_REQUEST.fullmatch(word)) and "--base-url" in line.flags:
            line.words = [each for each in line.words if each not in (word, "curl")]
            line.add("--base-url", found[1])
            line.needs_server = True
    if line.needs_server and "-m" in line.flags and not line.given & MODEL_FLAGS:
        line.add("-m", f"openai:{line.model}")


def flags_typed_as_words(line: MeantLine) -> None:
    """`all` as `--all`, where the command takes no such word."""
    needed, most = arity(line.command)
    for word in line.words:
        full = most is not None and (len(line.words) > most or line.path == "glm stop")
        is_flag = f"--{word}" in line.flags and f"--{word}" not in line.takers
        if full and is_flag and len(line.words) > needed:
            line.words = [each for each in line.words if each != word]
            line.add(f"--{word}")


def with_attached(line: MeantLine) -> None:
    """Files among the words go with -a where another does; `@my file.txt` is one name."""
    texts = line.words
    for at, word in enumerate(texts):
        if word.startswith("@") and not is_file_word(word[1:]):
            for end in range(at + 2, min(at + 7, len(texts) + 1)):
                name = " ".join(texts[at:end])
                if is_file_word(name[1:]):
                    line.words = [*texts[:at], name, *texts[end:]]
                    return
    has_one = bool({"-a", "--file"} & line.given)
    files = [word for word in texts if is_file_word(word) and (has_one or "." in word)]
    if files and (has_one or texts[1:]):
        line.words = [word for word in texts if word not in files]
        for name in files:
            line.add("-a", name)


def of_pairs(line: MeantLine) -> list[list[str]]:
    """`config set a=1 b=2` as a line for each; of `a=1 b` the pair is divided."""
    pairs = [_COLON.sub(r"\1=", word).partition("=") for word in line.words]
    if not pairs or not all(equals and name and value for name, equals, value in pairs):
        if pairs[1:] and pairs[0][1]:
            line.words = [pairs[0][0], pairs[0][2], *line.words[1:]]
        return []
    lines = []
    for name, _, value in pairs:
        near = near_word(name, line.path, 0)
        lines.append(["config", "set", near, *setting_value(near, [value])])
    return lines


def of_setting(line: MeantLine, name: str, words: list[str]) -> list[str]:
    """The words of a setting's value as one, or the first alone where only that is one."""
    words = [word for word in words if word not in ("=", "to", "is")]
    value, first = setting_value(name, words), setting_value(name, words[:1])
    if words[1:] and not setting_takes(name, *value) and setting_takes(name, *first):
        line.leave_out(*words[1:])
        return first
    return value


def of_history(line: MeantLine) -> None:
    """`last` in place of an id, a number or words in place of what the list is to hold."""
    name, words = line.path.split()[2], line.words
    last = words[-1] if words else ""
    if name == "list" and last.isdecimal():
        line.words = []
        line.add("-n", str(max(1, int(last))))
        for word in words[:-1]:
            line.leave_out(word)
    elif name == "list" and words:
        line.words = []
        line.other = ["history", "search", " ".join(words)]
    elif name == "show" and len(words) == 2 and words[0].lower() in _HEAD and last.isdecimal():
        line.words = []
        line.other = ["history", "list", "-n", last]
    elif name == "rename" and len(words) == 2 and is_conversation(last):
        line.words = words if is_conversation(words[0]) else words[::-1]
    elif name in OF_IDS and words:
        head = words[0].lower()
        newest = newest_conversation() if head in _HEAD and name != "undelete" else ""
        words = [newest or words[0], *words[1:]]
        # No id has a dot or a slash.
        is_target = name == "export" or (name == "show" and bool(words[1:]))
        if is_target and ({*last} & {*"./"} or (words[1:] and not looks_like_id(last))):
            words.pop()
            line.after = f"> {quote(last)}"
        line.words = words


def no_words(line: MeantLine) -> None:
    """Words behind a command that takes fewer: another command shows what they name."""
    words, other = line.words, {"glm roles list": "roles show", "glm config show": "config get"}
    most = arity(line.command)[1] or 0
    extra = words[most:]
    line.words = words[:most]
    if line.path == "glm models list":
        if group_of(extra[0]) == "models":
            line.other = ["models", "show", *extra]
        else:
            line.after = f"| grep {quote(' '.join(extra))}"
    elif line.path in other:
        line.other = [*other[line.path].split(), *extra]
    else:
        for word in extra:
            line.leave_out(word)


def each_apart(line: MeantLine) -> list[list[str]]:
    """A line for each name, where a command takes one; what is no name is left out."""
    words = line.words
    kept = [
        word
        for word in words
        if not word.isdecimal() and (not words[1:] or is_nameable(word, line))
    ]
    kept = kept or words[:1]
    for word in words:
        if word not in kept:
            line.leave_out(word)
    lines = []
    for word in kept:
        line.words = [word]
        lines.append(line.typed())
    return lines


def is_nameable(word: str, line: MeantLine) -> bool:
    """Whether a word may be one of the names that a command takes."""
    if line.path.startswith("glm history "):
        return is_conversation(word)
    if line.path.startswith("glm roles ") and line.path != "glm roles edit":
        return word in role_list()
    return line.path != "glm roles edit" or re.fullmatch(r"[\w-]+", word) is not None


def of_running(line: MeantLine) -> None:
    """What stands behind a model where it is served or measured: a port, an address, a file."""
    for word in line.words:
        name, _, port = word.rpartition(":")
        if line.path == "glm serve" and _PORT.fullmatch(port) and names_model(name):
            line.words = [name if each == word else each for each in line.words]
            line.add("--port", port)
            continue
        is_meant = word in OF_KEPT or word.startswith(("start", "http://"))
        if len(line.words) == 1 and not is_meant:
            continue
        address = re.fullmatch(r"(?:http://)?(?:([\w.-]+):)?([0-9]{2,5})/?", word)
        if line.path == "glm serve" and address:
            for flag, value in (("--host", address[1]), ("--port", address[2])):
                if value:
                    line.add(flag, value)
        elif line.path == "glm bench" and re.fullmatch(NO_TEXT[2], word):
            line.after = f"> {quote(word)}"
        elif word in ("start", "run", "up"):
            line.leave_out(word)
        elif word in OF_KEPT and line.path == "glm serve":
            line.other = [OF_KEPT[word]]
            line.told.append(reason("!STAYS"))
        else:
            continue
        line.words = [each for each in line.words if each != word]


def with_signs(line: MeantLine) -> None:
    """A line with signs in the place of the arguments that it lacks."""
    arguments = [each for each in line.command.params if each.param_type_name == "argument"]
    names = [str(each.metavar or each.name).strip("{}[].").upper() for each in arguments]
    if line.path == "glm history show":
        names = [newest_conversation() or "ID"]
    line.words = [*line.words, *names[len(line.words) :]]
    line.is_form = True


def with_a_question(line: MeantLine) -> None:
    """What a line of `glm ask` lacks, whose last option took the only words, in its place: the
    option's value, where the word is more likely the question.
    """
    if line.words or {*WITHOUT_QUESTION} & line.given:
        return
    taker = next((item for item in reversed(line.options) if item[1:]), None)
    option: Any = line.takers.get(taker[0]) if taker else None
    if taker is None or option is None:
        return
    value, sign = taker[1], metavar_of(option)
    is_wrong = not takes_value(value, option) and not is_no_text(value)
    if value != sign and (is_wrong or (taker[0] in OF_TEXT and not value.split()[1:])):
        taker[1] = sign
        line.items.append(value)
    else:
        line.items.append("QUESTION")
