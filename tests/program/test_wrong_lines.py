"""Wrong command lines, as people and scripts type them, and the hint that leads on from each."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import pytest

from tests.support.shell import clean_env

WRONG = """
ask --json hi                     | --format json
ask --temp 0 hi                   | --temperature 0
ask --temprature 0 hi             | glm ask --temperature 0 hi?
ask --temperature                 | write --temperature VALUE: randomness
ask --max-token 5 hi              | glm ask --max-tokens 5 hi?
ask --max-length 5 hi             | did you mean glm ask --max-tokens 5 hi?
ask --num-ctx 512 hi              | did you mean glm ask --window 512 hi?
ask --model                       | write --model VALUE: folder, hub id, built-in name, or openai:
ask --dtype                       | write --dtype VALUE: auto, float32
ask --modle echo: hi              | glm ask --model echo: hi?
ask -m opnai:x hi                 | glm ask -m openai:x hi?
ask -m openai hi                  | glm ask -m openai: hi?
ask -m smolm2 hi                  | glm ask -m smollm2 hi?
ask -m ./nothere hi               | check the path, or give a hub id: org/name
ask -m c.txt hi                   | a model is a folder with config
ask --api-key k hi                | a key is never an option: export GLM_API_KEY=KEY
ask --token k hi                  | glm config set api_key -
ask --url http://h hi             | --base-url http://h
ask --host h hi                   | did you mean glm ask --base-url http://h hi -m openai:?
ask -m openai:x --base-url h hi   | did you mean glm ask -m openai:x --base-url http://h hi?
ask -m openai:x --base-url a.com hi | glm ask -m openai:x --base-url https://a.com hi?
config set base_url api.b.com/v1  | did you mean glm config set base_url https://api.b.com/v1?
config set model openai gpt-4o    | did you mean glm config set model openai:gpt-4o?
config set model openai: gpt-4o   | did you mean glm config set model openai:gpt-4o?
config set model smollm2 please   | leave please out: glm config set model smollm2
config set host 0.0.0.0 8000      | leave 8000 out: glm config set host 0.0.0.0
config set adapter no where       | leave where out: glm config set adapter no
ask -m openai gpt-4o hi           | did you mean glm ask -m openai:gpt-4o hi?
ask --each c.tx                   | did you mean glm ask --each c.txt?
ask --each=c.tx -q                | did you mean glm ask --each c.txt -q?
ask --system-prompt c.txt hi      | did you mean glm ask --system @c.txt hi?
ask -a https://a.test/b.txt hi    | no page is fetched here: curl -s ADDRESS | glm ask
ask -s @http://a.test/b.txt hi    | no page is fetched here: curl -s ADDRESS | glm ask
ask @https://a.test/b.txt hi      | no page is fetched here: curl -s ADDRESS | glm ask
history import http://a.test/x    | no page is fetched here: curl -s ADDRESS | glm ask
ask -m echo: --session work hi    | --resume ID goes on with one, -c with the last; glm history list
chat smollm2                      | did you mean glm chat -m smollm2?
ask echo:                         | did you mean glm ask -m echo:
models remove qwen2.5:7b          | glm models list shows what is on this machine
models remove nosuch/model        | glm models list shows what is on this machine
serve --port 80000                | from 0 to 65535
ask --each c.txt -f csv           | answers to many lines are lines of JSON
ask -f c.txt hi                   | did you mean glm ask -a c.txt hi?
ask --attach c.txt hi             | did you mean glm ask --file c.txt hi?
ask -a nowhere.txt hi             | check the path
ask --output o.txt hi             | write: glm ask hi > o.txt
ask --stream hi                   | a reply streams by itself
ask --format jsn hi               | glm ask --format json hi?
ask --format yaml hi              | choose one of these
ask -sys x -m echo: hi            | did you mean glm ask --system x -m echo: hi?
ask -stats -m echo: hi            | did you mean glm ask --stats -m echo: hi?
ask --system-prompt x hi          | glm ask --system x hi?
ask --no-history hi               | did you mean glm ask --no-save hi?
ask --no-think=1 hi               | did you mean glm ask --no-think hi?
ask --device gpu -m smollm2 hi    | did you mean glm ask --device cuda -m smollm2 hi?
ask --dtype fp16 hi               | did you mean glm ask --dtype float16 hi?
ask --quantize 4bit hi            | did you mean glm ask --quantize int4 hi?
ask --load-in-8bit hi             | --quantize int8
ask -m echo: --plain=readr hi     | did you mean glm ask -m echo: --plain reader hi?
ask --gpu hi                      | did you mean glm ask hi --device cuda?
ask --cpu hi                      | --device cpu
ask --verbose hi                  | did you mean glm ask --stats hi?
ask --version                     | did you mean glm --version?
ask --prompt hi                   | did you mean glm ask hi?
ask --home x hi                   | did you mean GLM_HOME=x glm ask hi?
ask --thinking on hi              | did you mean glm ask --thinking show hi?
ask --window 0 hi                 | it must be at least 1
ask -m echo: ""                   | type a question: glm ask "why is the sky blue?"
ask -m echo: - hi                 | leave out the -
ask -m echo: hi @                 | @FILE or -a FILE attaches one
ask --file                        | write --file FILE:
ask -a                            | write -a FILE:
ask --role                        | write --role
ask --long                        | write --long map:
ask --long hi                     | write --long map
ask -m gpt-4o hi                  | --model openai:gpt-4o --base-url https://api.openai.com/v1
ask -m claude-3-opus hi           | --model openai:claude-3-opus --base-url https://api.anthropic.
ask -m deepseek-chat hi           | glm config set keys.api.deepseek.com keeps its key
ask -m chatgpt hi                 | --model openai:chatgpt --base-url https://api.openai.com/v1
ask --theme dark hi               | colours are those of the terminal
ask @alice hello                  | behind -- all words are text
chat --theme dark                 | colours are those of the terminal
chat -f json                      | did you mean glm ask -f json QUESTION?
chat --long map                   | did you mean glm ask --long map QUESTION?
chat --json                       | did you mean glm ask --format json QUESTION?
ask --commands hi                 | did you mean glm chat --commands hi?
history undelete zzzz             | glm history undelete lists them with their ids
chat --list                       | did you mean glm history list?
chat --continue --resume abcd     | leave --continue out: glm chat --resume abcd
-v                                | did you mean glm --version?
--verison                         | did you mean glm --version?
version                           | did you mean glm --version?
help ask                          | did you mean glm ask --help?
cht                               | did you mean glm chat?
aks hi                            | did you mean glm ask hi?
what is this                      | a question goes behind ask: glm ask 'what is this'
time flies                        | a question goes behind ask: glm ask 'time flies'
org/name                          | a model goes behind -m: glm chat -m org/name
./folder                          | a model goes behind -m: glm chat -m ./folder
openai:qwen                       | a model goes behind -m: glm chat -m openai:qwen
c.txt                             | a question: glm ask QUESTION -a c.txt
/help                             | /commands are typed inside glm chat
run                               | glm ask -m MODEL
pull org/name                     | glm models pull org/name
list                              | glm models list; glm history list
exit                              | Ctrl-D leaves a chat
settings                          | did you mean glm config show?
set temperature 1                 | did you mean glm config set temperature 1?
login                             | glm config set api_key -
-m echo: hi                       | a question goes behind ask: glm ask -m echo: hi
--model echo: ask hi              | options go behind the command: glm ask --model echo: hi
--continue                        | options go behind a command: glm chat --continue
model list                        | did you mean glm models list?
models lst                        | did you mean glm models list?
models rm x                       | glm models remove x
models download x                 | glm models pull x
models show                       | write: glm models show NAME; glm models list shows them
models list --all                 | it lists all that there are
history ls                        | glm history list
history rm abcd                   | glm history delete abcd
history serch x                   | did you mean glm history search x?
history show                      | glm history list shows them
history 12ab                      | did you mean glm history show 12ab?
history why sky                   | did you mean glm history search 'why sky'?
history export --format pdf       | choose one of these
history import c.txt              | a text goes with a question: glm ask -a c.txt QUESTION
history import nowhere.json       | check the path
config list                       | glm config show
config show model                 | did you mean glm config get model?
config model x                    | did you mean glm config set model x?
config set                        | write: glm config set NAME VALUE
config set temperature            | glm config set temperature VALUE, or glm config unset
config set api_key                | in a pipe stdin has it
config set temprature 1           | glm config set temperature 1?
config get nonsense               | glm config show lists all settings
config edit x                     | leave x out: glm config edit
config reset                      | glm config unset NAME
config trust nowhere              | check the path
roles new x                       | glm roles edit x
roles use shell                   | glm chat --role shell
roles shwo shell                  | did you mean glm roles show shell?
roles show nope                   | one of: commit, reviewer, shell
ask --role shel hi                | glm ask --role shell hi?
ask --rol shell hi                | glm ask --role shell hi?
ask -m=echo: hi                   | echo:
ask -T 0.2 hi                     | --temperature 0.2
ask --temperature 0,7 hi          | did you mean glm ask --temperature 0.7 hi?
ask --temperature hot hi          | a number, as 0.5: randomness
ask --timeout 30s hi              | did you mean glm ask --timeout 30 hi?
ask --max-tokens ten hi           | a number, as 100: new tokens at most
ask --stop hi                     | hi went to --stop; behind that goes the question
ask --stop -m echo: hi            | write --stop VALUE: a text that ends the reply
ask --base-url -m openai:x hi     | write --base-url VALUE
ask --context 4096 hi             | a number of tokens is --window N
ask --thinking off hi             | did you mean glm ask --thinking hide hi?
ask --no-thinking hi              | glm ask --no-think hi?
ask --format=JSON hi              | did you mean glm ask --format json hi?
ask -x=1 hi                       | did you mean glm ask --code 1 hi?
ask -r shell hi                   | did you mean glm ask --role shell hi?
ask --continue=abcd hi            | glm ask --resume abcd hi?
ask -m ollama:llama3 hi           | --model openai:llama3 --base-url http://127.0.0.1:11434
ask -m qwen3:8b hi                | --model openai:qwen3:8b --base-url http://127.0.0.1:11434
ask -m chatglm3-6b hi             | glm ask -m zai-org/chatglm3-6b hi?
ask -ngl 10 hi                    | did you mean glm ask --device cuda hi?
ask --n-gpu-layers 99 hi          | did you mean glm ask --device cuda hi?
ask --log-level debug hi          | did you mean glm ask --stats hi?
ask --bf16 hi                     | --dtype bfloat16
ask --lora-path d hi              | --adapter d
ask --revision main hi            | -m ORG/NAME@REVISION
ask --folder src hi               | did you mean glm ask --file src hi?
ask --usage hi                    | --stats
ask --cache-dir x hi              | did you mean GLM_CACHE=x glm ask hi?
ask --help-me                     | glm ask --help?
ask -a d hi                       | name a file, or a folder with files
ask @d hi                         | name a file, or a folder with files
ask @fifo hi                      | name a regular file
chat --multiline                  | /multiline is typed inside glm chat
chat --reset                      | a chat begins a new conversation
chat --session abcd               | leave --session abcd out: glm chat; /title abcd is
bench --foo                       | options of its own are --runs, --tokens, --prompts
bench -n 0                        | write --runs N: runs; medians are shown, at least 1
bench -n many                     | write --runs N:
bench --iterations 3 echo:        | --runs 3
bench --format json echo:         | glm bench --json echo:?
bench --output x.json echo:       | write: glm bench echo: > x.json
bench --prompts 100 1000 echo:    | --prompts 100,1000
bench --temperature 0 echo:       | leave --temperature 0 out: glm bench echo:
history delete --all              | name each: glm history delete ID ID
history delete --force abcd       | --yes
history list --since yesterday    | the newest come first
history list 5                    | did you mean glm history list -n 5?
history list -5                   | did you mean glm history list -n 5?
history list --format json        | glm history list --json?
history list --search foo         | glm history search foo
history --json                    | glm history list --json
history -n 5                      | glm history list -n 5
history show --last               | did you mean glm history show last?
history search a b c              | did you mean glm history search 'a b c'?
history rename abcd new title     | did you mean glm history rename abcd 'new title'?
history rename --title x abcd     | did you mean glm history rename abcd x?
history export -o out.md          | glm history export > out.md
history export --all              | leave --all out: glm history export
history export --format=md        | did you mean glm history export --format markdown?
history restore abcd              | glm history undelete abcd
models list smollm2               | did you mean glm models show smollm2?
models smollm2                    | did you mean glm models show smollm2?
models pull --revision main a/b   | did you mean glm models pull a/b@main?
models remove --all               | name one: glm models remove NAME
models -l                         | did you mean glm models list?
roles --list                      | did you mean glm roles list?
roles shell                       | did you mean glm roles show shell?
roles delete shell                | shell is built in and cannot be deleted
config --get model                | did you mean glm config get model?
config model=echo:                | did you mean glm config set model echo:?
config path --json                | leave --json out: glm config path
config init                       | glm config edit
config set temperature is 0.5     | did you mean glm config set temperature 0.5?
config set device gpu             | did you mean glm config set device cuda?
config set model nosuch:x         | before a name can stand openai:
config set language zh            | LC_ALL=zh_CN.UTF-8 glm
config set theme dark             | colours are those of the terminal
run smollm2                       | glm ask -m smollm2
unload                            | write: glm stop MODEL
server                            | did you mean glm serve?
models serve x                    | glm serve x
logs list                         | glm history list
keys set openai                   | glm config set keys.api.openai.com keeps its key
prompt hello                      | glm ask hello
his list                          | did you mean glm history list?
why?                              | a question goes behind ask: glm ask 'why?'
"hello world" -m echo:            | a question goes behind ask: glm ask 'hello world' -m echo:
@c.txt hi                         | a question goes behind ask: glm ask @c.txt hi
-- hi                             | a question goes behind ask: glm ask hi
--json models list                | options go behind the command: glm models list --json
--temp 0 hi                       | a question goes behind ask: glm ask --temperature 0 hi
--list-models                     | glm models list
histroy shwo abcd                 | did you mean glm history show abcd?
hstory serach foo bar --jsn       | did you mean glm history search 'foo bar' --json?
undelete                          | did you mean glm history undelete?
undelete abcd                     | did you mean glm history undelete abcd?
continue                          | did you mean glm chat --continue?
resume abcd                       | did you mean glm chat --resume abcd?
update                            | git pull in the folder of its source, then pip install .
uninstall                         | pip uninstall glm-chat
help history shwo                 | did you mean glm history show --help?
history rm abcd efgh --yes        | glm history delete abcd efgh --yes
history mv abcd new title         | glm history rename abcd 'new title'
history rename abcd               | write: glm history rename abcd TITLE
history clear                     | name each: glm history delete ID ID
history delete all                | name each: glm history delete ID ID
config reset temprature           | glm config unset temperature
config ste temprature 1           | did you mean glm config set temperature 1?
ask --history off hi              | did you mean glm ask --no-save hi?
ask hi --unknown                  | leave --unknown out: glm ask hi; glm ask --help
ask --modle echo: --max-token 5 x | did you mean glm ask --model echo: --max-tokens 5 x?
ask --verbose hi                  | did you mean glm ask --stats hi?
ask --max-length 5 hi             | did you mean glm ask --max-tokens 5 hi?
ask --resume hi                   | glm ask --continue hi
ask hi @c.tx                      | did you mean glm ask hi @c.txt?
ask @c.tx                         | did you mean glm ask @c.txt?
ask @c.tx @nope                   | did you mean glm ask @c.txt @nope?
chat @c.tx                        | did you mean glm chat @c.txt?
ask @nowhere.py                   | behind -- all words are text
ask hi -a c.tx                    | did you mean glm ask hi -a c.txt?
ask hi -a 'src/*.js'              | check the path
ask -m zai/GLM-4-9B-0414 hi       | did you mean glm ask -m zai-org/GLM-4-9B-0414 hi?
roles delete nope                 | glm roles show NAME tells which file it is
history exprot --fromat jsn abcd  | did you mean glm history export --format json abcd?
histry rename abcd new title      | did you mean glm history rename abcd 'new title'?
rename abcd                       | write: glm history rename abcd TITLE
show temperature                  | did you mean glm config get temperature?
show shell                        | did you mean glm roles show shell?
models remve a/b -yes             | did you mean glm models remove a/b --yes?
models download a/b --revision m  | glm models pull a/b@m
models ls --jsn                   | glm models list --json
roles ad mine                     | glm roles edit mine
role show shel                    | did you mean glm roles show shell?
roles use shell hi                | glm chat --role shell hi
config temprature=0.5             | did you mean glm config set temperature 0.5?
ask --max_tokens 10 hi            | did you mean glm ask --max-tokens 10 hi?
ask -m smolm hi --temprature 0    | did you mean glm ask -m smollm2 hi --temperature 0?
ask -temperature 0.4 hi           | did you mean glm ask --temperature 0.4 hi?
ps --all                          | leave --all out: glm ps
history serch --n 3 foo bar       | did you mean glm history search -n 3 'foo bar'?
history import --file x.json      | did you mean glm history import x.json?
--modle echo: ask hi              | options go behind the command: glm ask --model echo: hi
ask --resume=hi                   | glm ask --continue hi
set temprature 1                  | did you mean glm config set temperature 1?
embed foo                         | glm makes no embeddings
hlp                               | glm COMMAND --help
--install-completion ksh          | one of: bash, zsh, fish, powershell
--install-completion bash zsh     | glm --install-completion bash
models shwo smolm2                | did you mean glm models show smollm2?
config set temprature=1           | did you mean glm config set temperature 1?
bnch smolm2                       | did you mean glm bench smollm2?
ask --stop_ hi                    | did you mean glm ask --stop TEXT hi?
ask --modle echo:                 | did you mean glm ask --model echo: QUESTION?
ask —temperature 0 hi             | did you mean glm ask --temperature 0 hi?
ask hi –m echo:                   | did you mean glm ask hi -m echo:?
chat —temprature=0                | did you mean glm chat --temperature 0?
history list —json                | did you mean glm history list --json?
—version                          | did you mean glm --version?
—model echo: ask hi               | glm ask --model echo: hi
models —json                      | glm models list --json
history export --fmt json         | did you mean glm history export --format json?
ask --output-format json hi       | did you mean glm ask --format json hi?
delete all                        | glm history list --all -n 9999 | cut -f1 | xargs glm
clear history                     | glm history list --all -n 9999 | cut -f1 | xargs glm
history clear --all               | glm history list --all -n 9999 | cut -f1 | xargs glm
history delete all                | glm history list --all -n 9999 | cut -f1 | xargs glm
history rm all                    | glm history list --all -n 9999 | cut -f1 | xargs glm
history delete --all              | glm history list --all -n 9999 | cut -f1 | xargs glm
ask --systen hi                   | did you mean glm ask --system TEXT hi?
ask --temprature hi               | did you mean glm ask --temperature X hi?
ask --systen "be brief"           | did you mean glm ask --system 'be brief' QUESTION?
ask -x2 hi                        | did you mean glm ask --code 2 hi?
ask -q1 hi                        | did you mean glm ask -q hi?
ask --schema F hi                 | leave --schema F out: glm ask hi
ask --tools F hi                  | leave --tools F out: glm ask hi
ask --unknown f.json hi           | leave --unknown f.json out: glm ask hi
ask --unknown 12 hi               | leave --unknown 12 out: glm ask hi
ask hi --unknown word             | leave --unknown word out: glm ask hi
ask --unknown word hi             | leave --unknown word out: glm ask hi; glm ask --help
ask --timeout 10m hi              | did you mean glm ask --timeout 600 hi?
ask --max-tokens 4k hi            | did you mean glm ask --max-tokens 4000 hi?
ask --top-p 90% hi                | did you mean glm ask --top-p 0.9 hi?
ask -o o.txt hi                   | write: glm ask hi > o.txt
bench --prompt 100 200            | did you mean glm bench --prompts 100,200?
history export -o out.md abcd     | write: glm history export abcd > out.md
history export abcd out.md        | write: glm history export abcd > out.md
history export all                | hint: glm history export
history show all                  | glm history list --all
history undelete all              | without an ID it lists them
config set stream off             | glm ask --no-stream
ask -qx1 hi                       | did you mean glm ask -q --code 1 hi?
ask -qz hi                        | leave -qz out: glm ask hi
ask --response-format json_object x | did you mean glm ask --format json x?
bench --sizes 100 200 smollm2     | did you mean glm bench --prompts 100,200 smollm2?
bench --prompts 100 200           | did you mean glm bench --prompts 100,200?
history show 99999                | glm history list shows them with their ids
stop all                          | did you mean glm stop --all?
history list all                  | did you mean glm history list --all?
history undelete everything       | without an ID it lists them
config get role                   | glm chat --role NAME
-m echo: ask chat                 | options go behind the command: glm ask -m echo: chat
-m echo: ask history              | options go behind the command: glm ask -m echo: history
-m echo: history list             | leave -m echo: out: glm history list
--thinking history list           | leave --thinking out: glm history list
ask --window 1m hi                | did you mean glm ask --window 1000000 hi?
ask --max-tokens 1M hi            | did you mean glm ask --max-tokens 1000000 hi?
ask --timeout 1,000 hi            | did you mean glm ask --timeout 1000 hi?
ask --temperature 700% hi         | a number, as 0.5: randomness
histry list --format json         | did you mean glm history list --json?
history list --fmt json           | did you mean glm history list --json?
bench --runs=x                    | write --runs N: runs; medians are shown, at least 1
chat -c 4096 -m echo:             | did you mean glm chat --window 4096 -m echo:?
chat --continue 3                 | glm history list shows the ids that --resume takes
ask --system “be terse” hi        | did you mean glm ask --system 'be terse' hi?
ask 'hi　-m　echo:'               | did you mean glm ask hi -m echo:?
ask -s @missing hi                | without the @ it is the text itself
ask --each c.txt --prompt         | write --prompt TEXT: what to ask, {text} is the line
history export 3dvd               | glm history list shows them with their ids
histry delete everything          | name each: glm history delete ID ID; all of them
history delete everything         | glm history list --all -n 9999 | cut -f1 | xargs glm
rm -rf history                    | glm history list --all -n 9999 | cut -f1 | xargs glm
ask -m echo:hi                    | did you mean glm ask -m echo: hi?
ask -m echo：hi                   | did you mean glm ask -m echo: hi?
ask -m openai：qwen hi            | did you mean glm ask -m openai:qwen hi?
ask hi -m “echo:”                 | did you mean glm ask hi -m echo:?
ask -m echo: --stop “END” hi      | did you mean glm ask -m echo: --stop END hi?
ask hi --temperature＝0.5         | did you mean glm ask hi --temperature 0.5?
ask -a c.txt，d hi                | did you mean glm ask -a c.txt -a d hi?
config set temperature＝０．５    | did you mean glm config set temperature 0.5?
config set temperature=0.5 please | leave please out: glm config set temperature 0.5
config set a=b please             | glm config show lists all settings
config set system=be brief        | did you mean glm config set system 'be brief'?
config get nothing                | glm config show lists all settings
ask --code python hi              | did you mean glm ask --code last hi?
ask --messages a --messages b     | say one
ask --each a --prompt x --prompt y | say one
aliases set x y                   | a shell gives short names: alias NAME=
"""
PROBE = """
import contextlib, json, sys, tempfile
from glmcli.cli import run
said = []
for line in json.load(sys.stdin):
    with (
        tempfile.TemporaryFile("w+") as err,
        contextlib.redirect_stderr(err),
        contextlib.redirect_stdout(err),
    ):
        code = run(line)
        err.seek(0)
        said.append((code, err.read()))
json.dump(said, sys.stdout)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Each line -> (exit code, what was printed), all of them in one process."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "c.txt").write_text("gamma")
    (folder / "d").mkdir()
    os.mkfifo(folder / "fifo")
    lines = [line.split(" | ")[0].strip() for line in WRONG.strip().splitlines()]
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        input=json.dumps([shlex.split(line) for line in lines]),
        cwd=folder,
        env=clean_env(GLM_HOME=str(folder / "home"), GLM_OFFLINE="1"),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return dict(zip(lines, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("row", WRONG.strip().splitlines())
def test_a_wrong_line_gets_a_hint_that_leads_on(said, row):
    line, hint = (part.strip() for part in row.split(" | ", 1))
    code, text = said[line]
    assert code in (2, 3), text
    last = text.splitlines()[-1]
    assert last.startswith("hint: ") and hint in last
    assert "Traceback" not in text


def test_the_address_of_a_page_is_no_file_and_its_password_is_not_shown(glm):
    done = glm("ask", "-m", "echo:", "-a", "https://me:secret@a.test/b.txt?x", "sum this up")
    assert done.err_lines[0] == "glm: https://a.test/b.txt?x is an address, not a file"
    assert "secret" not in done.err


@pytest.mark.parametrize("word", ["-ngl", "-temperature=0.3", "-nothing"])
def test_an_unknown_option_is_named_as_it_was_typed(glm, word):
    done = glm("ask", word, "hi")
    assert done.err_lines[0] == f"glm: No such option: {word.partition('=')[0]}"


def test_the_line_for_all_conversations_deletes_them_all(said, glm, tmp_path):
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "glm").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m glmcli "$@"\n')
    (bin_folder / "glm").chmod(0o700)
    glm("ask", "-m", "echo:", "one")
    glm("chat", "-m", "echo:", stdin="two\n")
    line = said["history delete all"][1].splitlines()[-1].partition("all of them: ")[2]
    path = f"{bin_folder}:{os.environ['PATH']}"
    env = clean_env(GLM_HOME=str(tmp_path / "home"), PATH=path)
    subprocess.run(["sh", "-c", line], env=env, check=True, capture_output=True, timeout=60)
    assert json.loads(glm("history", "list", "--json").out) == []


@pytest.mark.parametrize(
    ("command", "typed", "line"),
    [
        ("ask", ["-c", "{id}", "hi"], "glm ask --resume {id} hi"),
        ("ask", ["{id}", "go on"], "glm ask --resume {id} 'go on'"),
        ("chat", ["{id}"], "glm chat --resume {id}"),
    ],
)
def test_the_id_of_a_conversation_that_is_sent_as_a_word_is_told(glm, command, typed, line):
    first = glm(command, "-m", "echo:", "hello", stdin="")
    assert first.code == 0, first.err
    name = json.loads(glm("history", "list", "--json").out)[0]["id"]
    words = [word.format(id=name) for word in typed]
    done = glm(command, "-m", "echo:", *words, stdin="")
    assert done.out.startswith(name)
    assert f"{name} is a conversation, sent as a word; {line.format(id=name)} goes on" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--system", "be", "terse", "hello"], "the system prompt is be alone"),
        (["--think", "off", "why?", "so"], "off is sent as a word: --think takes no value"),
        (["/model", "echo:", "hello"], "/model is sent as a word; an option begins with --"),
        (["--stop", "a", "b"], "each stop has its own --stop: glm ask --stop a --stop b QUESTION"),
        (["--stop", "END", "##", "why?"], "glm ask --stop END --stop '##' 'why?'"),
        (["--stop", "END", "FIN", "why is it"], "--stop END --stop FIN 'why is it'"),
        (["--stop", "END", "hello"], ""),
        (["--stop", "END", "why", "not"], ""),
        (["--system", "pirate", "hello"], ""),
        (["--system", "你是翻译", "hello"], ""),
    ],
)
def test_words_that_most_likely_belong_to_an_option_are_told(glm, words, said):
    done = glm("ask", "-m", "echo:", *words)
    assert done.code == 0
    assert said in done.err
    assert bool(said) == bool(done.err)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ask", "-s", "pirate.md", "hi"], "-s @pirate.md reads the file"),
        (["chat", "--system", "./pirate.md", "hi"], "-s @./pirate.md reads the file"),
        (["ask", "-s", "my pirate.md", "hi"], "-s @FILE reads the file"),
        (["ask", "-s", "parrot.md", "hi"], ""),
        (["ask", "-s", "README", "hi"], ""),
        (["ask", "-s", "@pirate.md", "hi"], ""),
        (["ask", "看看 ＠pirate.md。"], "＠pirate.md is sent as a word; @pirate.md alone, or -a"),
        (["ask", "总结", "＠pirate.md"], "＠pirate.md is sent as a word; @pirate.md alone, or -a"),
        (["ask", "你好 ＠alice"], ""),
    ],
)
def test_the_name_of_a_file_that_is_taken_for_its_text_is_told(glm, tmp_path, words, said):
    for name in ("pirate.md", "my pirate.md", "README"):
        (tmp_path / name).write_text("You are a pirate.")
    done = glm(*words, "-m", "echo:", stdin="")
    assert done.code == 0
    assert said in done.err
    assert bool(said) == bool(done.err)


@pytest.mark.parametrize(
    ("typed", "right"),
    [
        (["-a", "./scr", "hi"], "-a ./src hi"),
        (["-a", "scr/", "hi"], "-a src/ hi"),
        (["-a", "scr", "hi"], "-a src hi"),
        (["--file=./scr", "hi"], "--file ./src hi"),
        (["hi", "@scr"], "hi @src"),
        (["hi", "@./scr/"], "hi @src"),
        (["-a", "./ntoes.txt", "hi"], "-a ./notes.txt hi"),
    ],
)
def test_a_slip_in_the_name_of_a_folder_or_file_is_put_right(glm, tmp_path, typed, right):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("pass")
    (tmp_path / "notes.txt").write_text("text")
    done = glm("ask", "-m", "echo:", *typed)
    assert done.code == 2
    assert done.err.splitlines()[-1] == f"hint: did you mean glm ask -m echo: {right}?"


def test_a_hint_leaves_a_damaged_history_as_it_is(glm, tmp_path):
    path = tmp_path / "home" / "history.db"
    path.parent.mkdir()
    path.write_bytes(b"no database")
    done = glm("ask", "-m", "echo:", "--no-save", "research this")
    assert done.code == 0, done.err
    assert done.out == "research this\n"
    assert [each.name for each in path.parent.glob("history*")] == [path.name]
    assert path.read_bytes() == b"no database"


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (["show", "last"], "glm history show {id}"),
        (["show", "--last"], "glm history show {id}"),
        (["delete", "latest"], "glm history delete {id}"),
        (["purge", "last"], "glm history delete {id}"),
        (["rename", "last", "a", "title"], "glm history rename {id} 'a title'"),
        (["export", "{id}", "notes"], "glm history export {id} > notes"),
    ],
)
def test_a_word_in_place_of_an_id_gets_the_line_with_the_newest_id(glm, typed, line):
    for question in ("older", "newer"):
        assert glm("ask", "-m", "echo:", question).code == 0
    name = json.loads(glm("history", "list", "--json").out)[0]["id"]
    done = glm("history", *(word.format(id=name) for word in typed))
    assert done.code == 2
    assert line.format(id=name) in done.err.splitlines()[-1]


def test_the_newest_is_offered_to_be_shown_where_no_id_is_given_and_never_to_be_deleted(glm):
    assert glm("ask", "-m", "echo:", "hi").code == 0
    name = json.loads(glm("history", "list", "--json").out)[0]["id"]
    for command, word in (("show", name), ("delete", "ID")):
        hint = glm("history", command).err.splitlines()[-1]
        assert hint == f"hint: write: glm history {command} {word}; glm history list shows them"


def test_the_last_deleted_conversation_is_the_one_that_was_deleted_last(glm):
    for question in ("one", "two"):
        glm("ask", "-m", "echo:", question)
    newer, older = (each["id"] for each in json.loads(glm("history", "list", "--json").out))
    for name in (newer, older):
        assert glm("history", "delete", "--yes", name).code == 0
    done = glm("history", "undelete", "last")
    assert f"glm history undelete {older}" in done.err
