"""What other programs call what this one has: options and commands, and what to type here.

Tables and nothing else. What is only a command line is the same in every language.
"""

from __future__ import annotations

from glmcli.language import later

_KEY = later("a key is never an option: export GLM_API_KEY=KEY, or glm config set api_key -")
_SERVER = later("-m openai:NAME --base-url http://HOST:PORT asks a server")
_FILE = later("-a FILE sends a file")
_TOKENS = later("--max-tokens N limits the reply")
_WINDOW = later("--window N limits prompt and reply together")
_INT8, _INT4 = "--quantize int8", "--quantize int4"
_OUTPUT = later("the reply goes to stdout: glm ask ... > FILE")
_NO_SAVE = later("--no-save writes nothing to the history")
_PROMPT = later('a prompt is no option: glm ask "PROMPT"')
_MORE = later("--stats shows tokens and speed, --debug tracebacks")
_VERSION = later("glm --version shows the version")
_COLOURS = later("colours are those of the terminal; NO_COLOR=1 leaves them out")
_GPU = "--device cuda"

OTHER_OPTIONS: dict[str, str] = {
    "--json": "--format json",
    "--jsonl": "--format jsonl",
    "--raw": "--format text",
    "--markdown": "--format markdown",
    "--temp": "--temperature N",
    "-t": "--temperature N",
    **dict.fromkeys(("--max-length", "--n-predict", "--max-new-tokens", "-n"), _TOKENS),
    **dict.fromkeys(("--max-output-tokens", "--num-predict", "--length"), _TOKENS),
    **dict.fromkeys(("--context-length", "--ctx", "--ctx-size", "--num-ctx"), _WINDOW),
    **dict.fromkeys(("--max-model-len", "--context-window"), _WINDOW),
    **dict.fromkeys(("--api-key", "--key", "--token", "--apikey"), _KEY),
    **dict.fromkeys(("--host", "--port", "--server", "--api-base", "--endpoint"), _SERVER),
    "--url": "--base-url http://HOST:PORT",
    **dict.fromkeys(("--attach", "--attachment", "--input", "--image", "-i"), _FILE),
    **dict.fromkeys(("--output", "--out", "-o"), _OUTPUT),
    "--stream": later("a reply streams by itself; --no-stream waits for its end"),
    **dict.fromkeys(("--no-history", "--incognito", "--private", "--no-log"), _NO_SAVE),
    **dict.fromkeys(("--gpu", "--cuda"), _GPU),
    "--cpu": "--device cpu",
    **dict.fromkeys(("--load-in-8bit", "--8bit", "--int8"), _INT8),
    **dict.fromkeys(("--load-in-4bit", "--4bit", "--int4"), _INT4),
    **dict.fromkeys(("--verbose", "--log-level"), _MORE),
    **dict.fromkeys(("-v", "-V", "--version"), _VERSION),
    **dict.fromkeys(("--theme", "--color", "--colour", "--no-color"), _COLOURS),
    "--home": "export GLM_HOME=FOLDER",
    "--cache": "export GLM_CACHE=FOLDER",
    "--config": later("glm config path prints where config.toml is; glm config edit opens it"),
    **dict.fromkeys(("--prompt", "-p", "--message", "--question"), _PROMPT),
    "--lora": "--adapter DIR",
    "--list": later("glm history list shows the conversations, glm models list the models"),
    "--all": later("it lists all that there are, without an option"),
    "--greedy": "--temperature 0",
    "--trust": later("--trust-remote-code runs Python that comes with a model"),
    "--lang": later("the language is that of the locale: LC_ALL=zh_CN.UTF-8 glm"),
}
"""Option -> what to type."""

_LISTS = "glm models list; glm history list"
_LEAVE = later("glm is not running here; Ctrl-D leaves a chat")
_SET = later("glm config set NAME VALUE; glm config show lists all settings")
_PULL = "glm models pull NAME"
_REMOVE = "glm models remove NAME"
_DELETE = later("glm history delete ID; glm history list shows the ids")
_RESUME = later("glm chat --resume ID; --continue goes on with the last one")
_HELP = "glm --help; glm COMMAND --help"
_NO_SERVER = later("glm answers here, and asks servers of others: -m openai:NAME --base-url URL")

OTHER_COMMANDS: dict[str, dict[str, str]] = {
    "glm": {
        "version": _VERSION,
        **dict.fromkeys(("help", "hlep", "man"), _HELP),
        "run": "glm chat -m MODEL",
        "start": "glm chat",
        **dict.fromkeys(("list", "ls"), _LISTS),
        **dict.fromkeys(("pull", "download", "install", "get"), _PULL),
        **dict.fromkeys(
            ("rm", "remove", "delete"), "glm models remove NAME; glm history delete ID"
        ),
        **dict.fromkeys(("exit", "quit", "bye"), _LEAVE),
        **dict.fromkeys(("set", "settings", "setting", "configure"), _SET),
        **dict.fromkeys(("resume", "continue"), _RESUME),
        "search": "glm history search WORDS",
        "export": "glm history export",
        "import": "glm history import FILE",
        "show": "glm history show ID; glm models show NAME",
        "login": later("there is no account; a server's key: glm config set api_key -"),
        **dict.fromkeys(("update", "upgrade"), later("pip installs another version")),
        "completion": "glm --install-completion",
        **dict.fromkeys(("server", "serve", "api"), _NO_SERVER),
    },
    "glm models": {
        **dict.fromkeys(("rm", "delete", "del", "uninstall"), _REMOVE),
        **dict.fromkeys(("download", "install", "add", "get", "fetch"), _PULL),
        **dict.fromkeys(("info", "inspect", "describe"), "glm models show NAME"),
        "ls": "glm models list",
        "search": later("a hub lists models; glm models pull ORG/NAME fetches one"),
        **dict.fromkeys(("use", "set", "default"), "glm config set model NAME"),
    },
    "glm history": {
        **dict.fromkeys(("rm", "remove", "del", "clear", "purge"), _DELETE),
        **dict.fromkeys(("resume", "continue", "open"), _RESUME),
        "ls": "glm history list",
        **dict.fromkeys(("find", "grep"), "glm history search WORDS"),
        **dict.fromkeys(("cat", "view", "print"), "glm history show ID"),
        "save": "glm history export",
        "load": "glm history import FILE",
    },
    "glm roles": {
        "ls": "glm roles list",
        **dict.fromkeys(("new", "add", "create", "set"), "glm roles edit NAME"),
        **dict.fromkeys(("cat", "view", "print"), "glm roles show NAME"),
        **dict.fromkeys(("use", "run", "start"), "glm chat --role NAME"),
    },
    "glm config": {
        **dict.fromkeys(("list", "ls", "all", "view", "print"), "glm config show"),
        **dict.fromkeys(("reset", "remove", "rm", "delete", "del"), "glm config unset NAME"),
        **dict.fromkeys(("add", "put", "change"), "glm config set NAME VALUE"),
        **dict.fromkeys(("open", "vi", "vim", "nano"), "glm config edit"),
        **dict.fromkeys(("where", "file"), "glm config path"),
    },
}
"""Group of commands -> what others call a command there -> what to type."""
