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
_ROLE = later("--role NAME takes a role, --resume ID goes on with a conversation")
_THINK = later("--think or --no-think; how much it thinks is the model's own matter")
_RESUMED = "--resume ID"
_MANY = later("-a FOLDER sends a folder, -a 'src/*.py' what fits a pattern")
_FORMS = later("--format says the form: text, markdown, json, jsonl or records")
_SAMPLING = later("replies are sampled by --temperature, --top-p, --top-k, --repetition-penalty")
_ONE = later("one reply a call; --seed N makes another")
_BEGINS = later("a chat begins a new conversation; --continue goes on with the last one")
_STDIN = later("what is on stdin goes with the question by itself")
_REVISION = later("the revision goes behind the id: -m ORG/NAME@REVISION")
_MIRROR = later("export HF_ENDPOINT=https://MIRROR fetches from a mirror")
_CONFIG = later("glm config path prints where config.toml is; glm config edit opens it")
_CACHE = "export GLM_CACHE=FOLDER"

OTHER_OPTIONS: dict[str, str] = {
    "--json": "--format json",
    "--jsonl": "--format jsonl",
    **dict.fromkeys(("--fmt", "--output-format"), "--format FORM"),
    "--raw": "--format text",
    "--markdown": "--format markdown",
    "--temp": "--temperature N",
    **dict.fromkeys(("-t", "-T"), "--temperature N"),
    "-r": _ROLE,
    **dict.fromkeys(("--reasoning", "--effort", "--reasoning-effort"), _THINK),
    **dict.fromkeys(("--flash-attn", "--flash-attention"), "--attn flash"),
    **dict.fromkeys(("--session", "--conversation", "--id"), _RESUMED),
    **dict.fromkeys(("--last", "--latest"), "--continue"),
    **dict.fromkeys(("--usage", "--timings"), "--stats"),
    **dict.fromkeys(("--list-models", "--models"), "glm models list"),
    "--info": "glm config show",
    **dict.fromkeys(("--n", "--best-of", "--parallel", "--batch-size"), _ONE),
    "-M": "--model NAME",
    **dict.fromkeys(("--persona", "--agent", "--template-name"), "--role NAME"),
    **dict.fromkeys(("--silent", "--no-notices"), "--quiet"),
    **dict.fromkeys(("--text", "--html", "--pretty", "--yaml", "--csv"), _FORMS),
    **dict.fromkeys(("--no-markdown", "--no-format", "--no-render"), "--plain"),
    **dict.fromkeys(("--dir", "--folder", "--recursive", "--glob", "--include"), _MANY),
    **dict.fromkeys(("--paste", "--stdin", "--pipe"), _STDIN),
    "--proxy": "export HTTPS_PROXY=http://HOST:PORT",
    **dict.fromkeys(("--min-p", "--frequency-penalty", "--typical-p", "--num-beams"), _SAMPLING),
    **dict.fromkeys(("--gpu-layers", "--n-gpu-layers", "-ngl"), _GPU),
    **dict.fromkeys(("--fp16", "--half"), "--dtype float16"),
    "--bf16": "--dtype bfloat16",
    "--fp32": "--dtype float32",
    **dict.fromkeys(("--lora-path", "--peft", "--adapter-path"), "--adapter DIR"),
    **dict.fromkeys(("--revision", "--tag"), _REVISION),
    **dict.fromkeys(("--mirror", "--from", "--hub"), _MIRROR),
    **dict.fromkeys(("--local-files-only", "--no-network", "--local"), "--offline"),
    "--history": "glm history list",
    "--show-thinking": "--thinking show",
    "--emacs": later("without --vi the keys are those of Emacs"),
    **dict.fromkeys(("--script", "--batch"), later("glm chat --commands < FILE runs a script")),
    "-l": "glm models list; glm history list",
    **dict.fromkeys(("-e", "--execute"), later("-x prints only the code of the reply")),
    **dict.fromkeys(("--max-length", "--n-predict", "--max-new-tokens", "-n"), _TOKENS),
    **dict.fromkeys(("--max-output-tokens", "--num-predict", "--length"), _TOKENS),
    **dict.fromkeys(("--context-length", "--ctx", "--ctx-size", "--num-ctx"), _WINDOW),
    **dict.fromkeys(("--max-model-len", "--context-window"), _WINDOW),
    **dict.fromkeys(("--api-key", "--key", "--token", "--apikey"), _KEY),
    **dict.fromkeys(("--host", "--port", "--server", "--api-base", "--endpoint"), _SERVER),
    "--url": "--base-url http://HOST:PORT",
    **dict.fromkeys(("--attach", "--attachment", "--input", "--image", "-i", "--rag"), _FILE),
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
    **dict.fromkeys(("--cache", "--cache-dir"), _CACHE),
    "--config": _CONFIG,
    **dict.fromkeys(("--prompt", "-p", "--message", "--question"), _PROMPT),
    "--lora": "--adapter DIR",
    "--list": later("glm history list shows the conversations, glm models list the models"),
    **dict.fromkeys(("--new", "--reset", "--fresh"), _BEGINS),
    "--greedy": "--temperature 0",
    "--trust": later("--trust-remote-code runs Python that comes with a model"),
    "--lang": later("the language is that of the locale: LC_ALL=zh_CN.UTF-8 glm"),
}
"""Option -> what to type to ask a model."""
VALUED = ("--gpu-layers", "--n-gpu-layers", "-ngl", "--log-level")
"""Those of them that take a value elsewhere, and what to type here has none of the user's."""
_FREE = later("no schema or grammar binds a reply: describe its form in the question")
_NO_TOOLS = later("a model calls no tools here")
WITH_A_VALUE: dict[str, str] = {
    **dict.fromkeys(("--schema", "--json-schema", "--grammar"), _FREE),
    **dict.fromkeys(("--tools", "--tool", "--functions", "--mcp", "--plugin"), _NO_TOOLS),
}
"""Option elsewhere, which takes a value, of what there is not -> what to say."""
IN_THE_CHAT = {
    **dict.fromkeys(("clipboard", "yank"), "copy"),
    "editor": "edit",
    "import": "load",
    "name": "title",
    "count": "tokens",
}
"""What a command of the chat is called elsewhere -> its name; its own name is one too."""
ANYWHERE = (_KEY, _COLOURS, _MIRROR, _CONFIG, _CACHE, "export GLM_HOME=FOLDER")
"""Those of them that hold for every command."""

_ALL = ("--all", "-a")
EVERY_ONE = ("all", "*", "everything", *_ALL)
"""What is typed for each conversation in place of an id."""
_ALL_LISTED = later("it lists all that there are, without an option")
EACH = later(
    "name each: glm history delete ID ID; all of them: "
    "glm history list --all -n 9999 | cut -f1 | xargs glm history delete --yes"
)
BACK = later("name each: glm history undelete ID ID; without an ID it lists them")
_NEWEST = later(
    "the newest come first: glm history list -n N; glm history search WORDS finds others"
)
_MORE_OF_ONE = "glm models show NAME"
_SEARCHED = later("all words are looked for, as they are: glm history search WORDS")
_FORM = later("the form of a file is found by itself: glm history import FILE")
_ONE_OF_BENCH = later("a bench is of one prompt after the other; --runs N repeats them")
_SERVERS = later("glm models list --base-url http://HOST:PORT lists those of a server")

OF_ONE_COMMAND: dict[str, dict[str, str]] = {
    "glm bench": {
        **dict.fromkeys(("--iterations", "--repeat", "--repeats", "--num-runs"), "--runs N"),
        **dict.fromkeys(("--max-tokens", "--max-new-tokens", "--output-len"), "--tokens N"),
        **dict.fromkeys(("--batch", "--batch-size", "--parallel"), _ONE_OF_BENCH),
        **dict.fromkeys(("--output", "--out", "-o"), "glm bench ... > FILE"),
        **dict.fromkeys(("--prompt", "--input-len", "-p", "--sizes", "--lengths"), "--prompts N,N"),
        "-t": "--threads N",
    },
    "glm history list": {
        **dict.fromkeys(("--asks", "--full"), "--all"),
        "--chats": later("without --all it lists the chats alone"),
        **dict.fromkeys(("--search", "--grep", "--query"), "glm history search WORDS"),
        **dict.fromkeys(("--sort", "--since", "--after", "--before", "--page", "--until"), _NEWEST),
        "--model": later("--json has the model of each"),
        **dict.fromkeys(("--max", "--count", "--number"), "-n N"),
        "--deleted": "glm history undelete",
    },
    "glm history show": {
        **dict.fromkeys(("--last", "--latest"), later("glm history list -n 1 shows the id")),
        **dict.fromkeys(("--markdown", "--md"), later("in a pipe it is Markdown")),
        **dict.fromkeys(("--raw", "--text"), "--plain"),
    },
    "glm history search": dict.fromkeys(("--model", "--regex", "--all", "-i", "-w"), _SEARCHED),
    "glm history export": {
        **dict.fromkeys(_ALL, later("without an ID it exports all")),
        **dict.fromkeys(("--output", "--out", "-o"), "glm history export > FILE"),
        **dict.fromkeys(("--md", "--markdown"), "--format markdown"),
    },
    "glm history import": dict.fromkeys(("--format", "-f"), _FORM),
    "glm history delete": {
        **dict.fromkeys((*_ALL, "--older-than", "--before"), EACH),
        **dict.fromkeys(("--force", "-f"), "--yes"),
        **dict.fromkeys(("--permanent", "--forever", "--hard"), "--purge"),
    },
    "glm history undelete": {
        **dict.fromkeys(_ALL, BACK),
        "--list": later("without an ID it lists them"),
    },
    "glm models list": {
        **dict.fromkeys((*_ALL, "--local", "--installed"), _ALL_LISTED),
        **dict.fromkeys(("--remote", "--server"), _SERVERS),
        **dict.fromkeys(("--verbose", "-v", "--long", "-l"), _MORE_OF_ONE),
    },
    "glm models show": dict.fromkeys(("--verbose", "-v", "--all"), later("it shows all it knows")),
    "glm models pull": {
        **dict.fromkeys(("--revision", "--tag"), "glm models pull ORG/NAME@REVISION"),
        **dict.fromkeys(("--force", "-f"), later("glm models remove NAME; then pull it again")),
        "--quantize": later("weights are made smaller when they are loaded: glm chat --quantize"),
    },
    "glm models remove": {
        **dict.fromkeys(("--force", "-f"), "--yes"),
        "--all": later("name one: glm models remove NAME; glm models list shows them"),
    },
    "glm roles list": {"--all": _ALL_LISTED},
    "glm config show": {"--all": _ALL_LISTED, "--source": _ALL_LISTED},
    "glm config get": dict.fromkeys(_ALL, "glm config show"),
    "glm config unset": {
        "--all": later("glm config edit opens the file; glm config unset NAME takes one out")
    },
}
"""Command -> option -> what to type there."""

_LISTS = "glm models list; glm history list"
_LEAVE = later("glm is not running here; Ctrl-D leaves a chat")
_SET = later("glm config set NAME VALUE; glm config show lists all settings")
_PULL = "glm models pull NAME"
_REMOVE = "glm models remove NAME"
_DELETE = later("glm history delete ID; glm history list shows the ids")
_RESUME = later("glm chat --resume ID; --continue goes on with the last one")
_HELP = "glm --help; glm COMMAND --help"
_ENDS = later("glm ps lists the models that are kept in memory, glm stop ends one")
_UPDATE = later("no index holds it: git pull in the folder of its source, then pip install .")
_KEYS = later("a server's key: glm config set api_key -, or keys.HOST for each")
_MODELFILE = later("a system prompt with settings is a role: glm roles edit NAME")
_ROLE_FILE = later("glm roles show NAME tells which file it is: delete or rename that")
_SERVING = later("glm serve lets other programs ask; -m openai:NAME --base-url URL asks a server")

OTHER_COMMANDS: dict[str, dict[str, str]] = {
    "glm": {
        "version": _VERSION,
        **dict.fromkeys(("help", "hlep", "man"), _HELP),
        **dict.fromkeys(("run", "load", "use"), "glm chat -m MODEL"),
        **dict.fromkeys(("start", "new", "repl"), "glm chat"),
        **dict.fromkeys(("unload", "status", "kill", "free"), _ENDS),
        **dict.fromkeys(("logs", "log", "conversations", "chats"), "glm history list"),
        **dict.fromkeys(("templates", "prompts", "agents", "personas"), "glm roles list"),
        **dict.fromkeys(("keys", "auth"), _KEYS),
        **dict.fromkeys(("prompt", "complete", "generate", "query"), "glm ask WORDS"),
        **dict.fromkeys(("create", "cp", "push"), _MODELFILE),
        **dict.fromkeys(("doctor", "info", "env"), "glm config show; glm models list"),
        **dict.fromkeys(("perf", "measure", "speed"), "glm bench"),
        **dict.fromkeys(("list", "ls"), _LISTS),
        **dict.fromkeys(("pull", "download", "install", "get"), _PULL),
        **dict.fromkeys(
            ("rm", "remove", "delete"), "glm models remove NAME; glm history delete ID"
        ),
        **dict.fromkeys(("exit", "quit", "bye"), _LEAVE),
        **dict.fromkeys(("set", "settings", "setting", "configure"), _SET),
        "search": "glm history search WORDS",
        "export": "glm history export",
        "import": "glm history import FILE",
        "show": "glm history show ID; glm models show NAME",
        "login": later("there is no account; a server's key: glm config set api_key -"),
        **dict.fromkeys(("update", "upgrade"), _UPDATE),
        **dict.fromkeys(("uninstall", "self-uninstall"), "pip uninstall glm-chat"),
        **dict.fromkeys(("completion", "completions", "autocomplete"), "glm --install-completion"),
        **dict.fromkeys(("embed", "embeddings"), later("glm makes no embeddings")),
        **dict.fromkeys(("server", "api", "listen"), _SERVING),
    },
    "glm models": {
        **dict.fromkeys(("rm", "delete", "del", "uninstall"), _REMOVE),
        **dict.fromkeys(("download", "install", "add", "get", "fetch"), _PULL),
        **dict.fromkeys(("info", "inspect", "describe"), "glm models show NAME"),
        **dict.fromkeys(("ls", "ps"), "glm models list"),
        **dict.fromkeys(("update", "upgrade"), "glm models pull NAME"),
        **dict.fromkeys(("path", "where"), later("glm models show NAME tells where it is")),
        "serve": "glm serve NAME",
        **dict.fromkeys(("run", "load", "chat"), "glm chat -m NAME"),
        **dict.fromkeys(("convert", "quantize"), later("--quantize int8 makes weights smaller")),
        **dict.fromkeys(("bench", "benchmark"), "glm bench NAME"),
        **dict.fromkeys(("import", "link"), later("a folder is a model as it is: -m FOLDER")),
        "search": later("a hub lists models; glm models pull ORG/NAME fetches one"),
        **dict.fromkeys(("use", "set", "default"), "glm config set model NAME"),
    },
    "glm history": {
        **dict.fromkeys(("rm", "remove", "del", "clear", "purge", "prune"), _DELETE),
        **dict.fromkeys(("resume", "continue", "open"), _RESUME),
        "ls": "glm history list",
        **dict.fromkeys(("find", "grep"), "glm history search WORDS"),
        **dict.fromkeys(("cat", "view", "print"), "glm history show ID"),
        **dict.fromkeys(("save", "backup", "dump"), "glm history export ID"),
        "load": "glm history import FILE",
        **dict.fromkeys(("restore", "undo", "recover"), "glm history undelete ID"),
        **dict.fromkeys(("last", "latest"), "glm history list -n 1"),
        **dict.fromkeys(("count", "stats"), "glm history list --all"),
        **dict.fromkeys(("info", "get", "read"), "glm history show ID"),
        **dict.fromkeys(("edit", "chat", "use"), _RESUME),
        **dict.fromkeys(("title", "name", "mv"), "glm history rename ID TITLE"),
    },
    "glm roles": {
        "ls": "glm roles list",
        **dict.fromkeys(("new", "add", "create", "set"), "glm roles edit NAME"),
        **dict.fromkeys(("cat", "view", "print"), "glm roles show NAME"),
        **dict.fromkeys(("use", "run", "start"), "glm chat --role NAME"),
        **dict.fromkeys(("delete", "remove", "rm", "rename", "mv"), _ROLE_FILE),
        **dict.fromkeys(("path", "where"), _ROLE_FILE),
    },
    "glm config": {
        **dict.fromkeys(("list", "ls", "all", "view", "print"), "glm config show"),
        **dict.fromkeys(("reset", "remove", "rm", "delete", "del"), "glm config unset NAME"),
        **dict.fromkeys(("add", "put", "change"), "glm config set NAME VALUE"),
        **dict.fromkeys(("open", "vi", "vim", "nano"), "glm config edit"),
        **dict.fromkeys(("where", "file"), "glm config path"),
        **dict.fromkeys(("init", "create", "new"), "glm config edit"),
        **dict.fromkeys(("import", "load", "reload"), _CONFIG),
    },
}
"""Group of commands -> what others call a command there -> what to type."""
