"""Hints at the line that was meant: what every one of them holds, and one row for each kind."""

from __future__ import annotations

import shlex

import pytest

from glmcli.cli.hints.meant import meant_hint
from glmcli.cli.hints.taking import value_flags
from glmcli.cli.hints.tree import command_at, commands_of, parses, sample, whole_command

KINDS = """
ask -max-tokens 4 hi                    | did you mean glm ask --max-tokens 4 hi?
ask -qm echo: -t0.5 hi                  | did you mean glm ask -q -m echo: --temperature 0.5 hi?
ask hi --temperature:0.5                | did you mean glm ask hi --temperature 0.5?
ask -MaxTokens 50 hi                    | did you mean glm ask --max-tokens 50 hi?
ask hi -o temperature 0.3               | did you mean glm ask hi --temperature 0.3?
ask --keep 10 min hi                    | did you mean glm ask --keep 10m hi?
ask --stream=false hi                   | did you mean glm ask --no-stream hi?
ask hi --api-key secret                 | leave --api-key out: glm ask hi
ask --t 0.2 hi                          | did you mean glm ask --temperature 0.2 hi?
ask -H 'X: y' hi                        | leave -H 'X: y' out: glm ask hi
ask -H 'Authorization: Bearer x' hi     | leave -H out: glm ask hi
ask -k secret hi                        | leave -k out: glm ask hi
ask -d '{"a": 1}' hi                    | leave -d '{"a": 1}' out: glm ask hi
ask -d @FILE hi                         | did you mean glm ask --file FILE hi?
ask -m x.gguf -c 4096 -p hi             | did you mean glm ask -m x.gguf --window 4096 hi?
keys set openai secret                  | glm config set keys.api.openai.com keeps its key
keys set gemini                         | glm config set keys.generativelanguage.google
auth login lab.example.edu:8000         | glm config set keys.lab.example.edu:8000 keeps its key
keys                                    | glm config set keys.HOST is for one server, glm config set
ask -m = echo: hi                       | did you mean glm ask -m echo: hi?
ask --max-tokens = 50 hi                | did you mean glm ask --max-tokens 50 hi?
ask --temperature= 0.2 hi               | did you mean glm ask --temperature 0.2 hi?
ask - m echo: hi                        | did you mean glm ask -m echo: hi?
ask--model echo: hi                     | did you mean glm ask --model echo: hi?
'askwhy not'                            | did you mean glm ask 'why not'?
chat-m echo:                            | did you mean glm chat -m echo:?
chat smollm2 --num-gpus 2               | leave --num-gpus 2 out: glm chat -m smollm2
ask zai-org/GLM-4-9B-0414 hi --temp 0   | did you mean glm ask hi --temperature 0 -m zai-org/
-p hi                                   | options go behind a command: glm ask hi
serve -c 4096                           | did you mean glm serve --window 4096?
serve http://0.0.0.0:9731               | did you mean glm serve --host 0.0.0.0 --port 9731?
chat -f FILE                            | did you mean glm chat --file FILE?
chat --list                             | did you mean glm history list?
ask --each FILE --jobs 4                | did you mean glm ask --each FILE --parallel 4?
ask --each FILE 'Translate: {text}'     | did you mean glm ask --each FILE --prompt 'Translate:
config set default_model echo:          | did you mean glm config set model echo:?
ask -t mytemplate hi                    | leave -t mytemplate out: glm ask hi
ask --image pic.png hi                  | leave --image pic.png out: glm ask hi
ask --session work hi                   | leave --session work out: glm ask hi
ask --device cuda:0,1 hi                | did you mean glm ask --device cuda hi?
ask -c 4096 -m echo: hi                 | did you mean glm ask --window 4096 -m echo: hi?
ask -f yaml hi                          |
chat --temp 0.2 --save-as x.md          | leave --save-as x.md out: glm chat --temperature 0.2
history list --kind ask                 | did you mean glm history list --all?
history list --colour red               | leave --colour red out: glm history list
models list --base 1.2.3.4:8000         | did you mean glm models list --base-url http://1.2.3.4:
serve --bind 0.0.0.0:9000               | did you mean glm serve --host 0.0.0.0 --port 9000?
serve --api-key secret                  | write: GLM_SERVE_KEY=KEY glm serve
serve smollm2 --token=sk-1 --prot 80    | write: GLM_SERVE_KEY=KEY glm serve smollm2 --port 80
serve stop                              | a server keeps its model until Ctrl-C ends it; write:
serve status                            | did you mean glm ps?
serve smollm2 -tp 2                     | leave -tp 2 out: glm serve smollm2
bench --run 3 5                         | leave 5 out: glm bench --runs 3
run smollm2 hi --verbose                | did you mean glm ask -m smollm2 hi --stats?
run --think=false smollm2               | did you mean glm chat --no-think -m smollm2?
-r shell list files                     | a question goes behind ask: glm ask --role
ask --think-budget 100 hi               | leave --think-budget 100 out: glm ask hi
ask --prompt 'x {text}' hi              | did you mean glm ask --prompt 'x {text}' --each FILE?
ask --concurrency 8 --each F            | did you mean glm ask --parallel 8 --each F?
ask --temperature None hi               | leave --temperature None out: glm ask hi
ask hi --roles shell                    | did you mean glm ask hi --role shell?
ask hi --openai-key sk-1                | leave --openai-key out: glm ask hi
serve smollm2 0.0.0.0:8080              | did you mean glm serve smollm2 --host 0.0.0.0
bench echo: --json out.json             | write: glm bench echo: --json > out.json
history export 3dv                      |
history export out/talk                 | write: glm history export > out/talk
roles create coder 'You write'          | leave 'You write' out: glm roles edit coder
config set temperature=hot              |
ask -X POST -d '{"prompt": "hi"}'       | leave -X POST out: glm ask hi; a question is text as it
ask -XPOST http://h:1/v1/x -d '{"prompt": "hi"}' | leave -X POST out: glm ask hi --base-url http://h:1
ask -H 'Authorization: Bearer x' hi     | leave -H out: glm ask hi; a key is never an option: export
ask --stream false hi                   | did you mean glm ask --no-stream hi?
ask --stream true hi                    | leave --stream true out: glm ask hi; a reply streams by
ask --foo true hi                       | leave --foo=true out: glm ask hi
ask --top-p 90 hi                       | did you mean glm ask --top-p 0.9 hi?
bench -p 512 -n 128                     | did you mean glm bench --prompts 512 --tokens 128?
ask -模型 echo: hi                      | did you mean glm ask --model echo: hi?
ask hi --温度 0.5                       | did you mean glm ask hi --temperature 0.5?
ask　-m　echo:　hi                      | did you mean glm ask -m echo: hi?
“what is this”                          | a question goes behind ask: glm ask 'what is this'
-m echo: “why not” --temprature 0       | glm ask -m echo: 'why not' --temperature 0
chat -r coder                           | write --role NAME: one of: commit, reviewer, shell
chat -r default                         | leave -r default out: glm chat
ask --each q.txt 'Sum up' --prompt      | glm ask --each q.txt --prompt 'Sum up {text}'?
chat -c 4096                            | did you mean glm chat --window 4096?
ask --foo bar what is this              | bar too, if it is the value of --foo
ask --log-file x hi                     | write: glm ask hi 2> x
serve smollm2:8000                      | did you mean glm serve smollm2 --port 8000?
ask --json '{"messages": [{"content": "why"}]}' | did you mean glm ask --format json why?
chat -sp 'be brief'                     | did you mean glm chat --system 'be brief'?
ask --system=“你是 助手” hi             | did you mean glm ask --system '你是 助手' hi?
ask --temperature０.5 hi                | did you mean glm ask --temperature 0.5 hi?
ask -m　echo: hi                        | did you mean glm ask -m echo: hi?
ask --Model:echo: hi                    | did you mean glm ask --model echo: hi?
ollama run smollm2 hi                   | did you mean glm ask -m smollm2 hi?
ask --n-predict=64 --seed=-1 hi         | leave --seed -1 out: glm ask --max-tokens 64 hi
bench smollm2 --tokens=64k              | did you mean glm bench smollm2 --tokens 64000?
stop --al                               | did you mean glm stop --all?
config set temperature:0.5              | did you mean glm config set temperature 0.5?
配置 设置 温度 0.5                      | did you mean glm config set temperature 0.5?
历史 列表                               | did you mean glm history list?
glm.exe ask hi                          | did you mean glm ask hi?
log --oneline -5                        | did you mean glm history list --plain -n 5 --all?
logs -n 3                               | did you mean glm history list -n 3 --all?
log list                                | did you mean glm history list --all?
logs --all                              | did you mean glm history list --all?
chats                                   | did you mean glm history list?
ask -i hi                               | did you mean glm chat hi?
ask -m echo: -i                         | did you mean glm chat -m echo:?
logs last                               | did you mean glm history list -n 1 --all?
ask -i notes.txt hi                     | did you mean glm ask --file notes.txt hi?
config unset --all                      | did you mean glm config edit?
echo: hi                                | a model goes behind -m: glm ask -m echo: hi
smollm2                                 | a model goes behind -m: glm chat -m smollm2
smollm2 why not                         | a model goes behind -m: glm ask -m smollm2 why not
ask smollm2                             | did you mean glm ask -m smollm2 QUESTION?
chat echo:                              | did you mean glm chat -m echo:?
rm qwen2.5:7b                           | did you mean glm models remove qwen2.5:7b?
rm llama3.2                             | did you mean glm models remove llama3.2?
rm ab12cd34                             | glm models remove ab12cd34; glm history delete ab12cd34
show echo:                              | did you mean glm models show echo:?
show llama3.2                           | did you mean glm models show llama3.2?
history delete --older-than 30d         | leave --older-than 30d out: glm history delete
history delete --older 30               | list --all -n 9999 shows ages
history clear --older-than 30d          | leave --older-than 30d out: glm history delete
history clear --all --before 2024       | there is no choice by age: glm history list --all
rm history --older-than=30d             | there is no choice by age: glm history list --all
chat -m echo: --repl work               | leave --repl work out: glm chat -m echo:; /title work
chat --chat work                        | leave --chat work out: glm chat; /title work is typed
chat --session work                     | leave --session work out: glm chat; /title work is typed
show llama3 --modelfile                 | glm history show llama3; glm models show llama3
ask --data-urlencode q=hello            | leave --data-urlencode q=hello out: glm ask
serve echo: --keep 10m                  | leave --keep 10m out: glm serve echo:; a server keeps its
serve echo: --temperature 0             | leave --temperature 0 out: glm serve echo:; each request
list models                             | did you mean glm models list?
show config                             | did you mean glm config show?
delete history ab12cd34                 | did you mean glm history delete ab12cd34?
history ab12cd34 rename new title       | did you mean glm history rename ab12cd34 'new title'?
logs path                               | did you mean glm history path?
config set temperature=0.5 top_p=90%    | did you mean glm config set temperature 0.5 &&
config set system be brief              | did you mean glm config set system 'be brief'?
models remove a/b c/d                   | did you mean glm models remove a/b && glm
ask hi -u user:pw                       | leave -u out: glm ask hi; a key is never an option
ask --user me:pw --url http://h hi      | leave --user out: glm ask --base-url http://h hi -m op
curl http://h/v1/x -d '{"model": "q", "prompt": "hi"}' | glm ask hi --base-url http://h -m openai:q?
ask -t shell -p lang en hi              | leave -p lang en out: glm ask --role shell hi; a role has
ask -t mine -p k=v hi                   | leave -t mine -p k=v out: glm ask hi
ask -s x -c 'and then' --cid ab12cd34   | did you mean glm ask -s x 'and then' --resume ab12cd34?
ask --chat hi                           | did you mean glm chat hi?
ask hi --chat                           | did you mean glm chat hi?
ask --chat work hi                      | leave --chat work out: glm ask hi; --resume ID goes
llm aliases list                        | a shell gives short names: alias NAME='glm ask -m MODEL'
llm install llm-gpt4all                 | glm has none of that; glm --help lists its commands
ollama list                             | did you mean glm models list?
ollama rm llama3                        | did you mean glm models remove llama3?
images                                  | did you mean glm models list?
clone org/name                          | did you mean glm models pull org/name?
commit -m first                         | git diff --staged | glm ask --role commit
ｃｏｎｆｉｇ show                       | did you mean glm config show?
询问 你好                               | did you mean glm ask '你好'?
ask --system=你是，助手 --temprature 0  | did you mean glm ask --system '你是，助手' --temperature 0
help history list                       | did you mean glm history list --help?
:q                                      | /exit is typed inside glm chat
"""
UNQUOTED = """
ask -m echo: how do I use rm -rf safely  | ask -m echo: 'how do I use rm -rf safely'
ask -m echo: how do I use rm -r safely   | ask -m echo: 'how do I use rm -r safely'
ask what does ls -l mean                 | ask 'what does ls -l mean'
chat what does ls -l mean                | chat 'what does ls -l mean'
what does ls -l mean                     | ask 'what does ls -l mean'
how do I use rm -rf safely               | ask 'how do I use rm -rf safely'
ask how does grep -n work -m echo:       | ask 'how does grep -n work' -m echo:
ask explain git log --oneline please     | ask 'explain git log --oneline please'
ask what does git --hard do              | ask 'what does git --hard do'
ask what does tar -xzf do                | ask 'what does tar -xzf do'
ask explain rm -f please                 | ask 'explain rm -f please'
ask how does rm -rf work --temprature 0  | ask 'how does rm -rf work' --temperature 0
ask what is -n 50 in -rf                 | ask 'what is in -rf' --max-tokens 50
ask @a.txt what is rm -rf there          | ask @a.txt 'what is rm -rf there'
ask how do I kill -9 a process           | ask 'how do I kill -9 a process'
ask 怎样 使用 rm -rf                     | ask '怎样 使用 rm -rf'
ask hello there --temprature 0.2         | ask hello there --temperature 0.2
ask hello there -n 50                    | ask hello there --max-tokens 50
ask hello there -t 0.2                   | ask hello there --temperature 0.2
ask look at this -r reviewer             | ask look at this --role reviewer
ask look at this -r reviwer              | ask look at this --role reviewer
ask hello there --verbose                | ask hello there --stats
ask hello there --openai-key sk-1        | ask hello there
"""
SLIPS = [
    lambda flag: flag[1:],
    lambda flag: flag.replace("-", "_").replace("__", "--", 1),
    str.upper,
    lambda flag: flag[:4] + flag[5:],
]
"""What becomes of a long option: a single dash, underscores, capitals, a letter lost."""


def every_command(path=()):
    for name, command in commands_of(command_at(path) if path else whole_command()).items():
        if commands_of(command):
            yield from every_command([*path, name])
        else:
            yield [*path, name]


def offered(hint):
    """The lines that a hint offers."""
    for lead in ("did you mean ", "write: ", " out: ", "ask: ", "command: "):
        if lead in hint:
            line = hint.partition(lead)[2].partition("; ")[0].removesuffix("?")
            line = line.partition(" > ")[0].partition(" | ")[0].removesuffix(" &")
            return [shlex.split(each[each.index("glm ") :])[1:] for each in line.split(" && ")]
    return []


@pytest.mark.parametrize("row", KINDS.strip().splitlines())
def test_a_line_of_each_kind_is_put_right_whole(row):
    line, _, hint = (part.strip() for part in row.partition("|"))
    said = meant_hint(shlex.split(line))
    assert said.startswith(hint) or said.endswith(hint)
    assert bool(said) == bool(hint)
    assert all(map(parses, offered(said))), said


@pytest.mark.parametrize("row", UNQUOTED.strip().splitlines())
def test_a_question_without_quotes_is_offered_whole(row):
    line, right = (shlex.split(part) for part in row.split("|"))
    assert offered(meant_hint(line)) == [right]


@pytest.mark.parametrize("path", list(every_command()), ids=" ".join)
@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_any_option_of_any_command_is_put_right_with_its_value(path, slip):
    command = command_at(path)
    for flag, option in value_flags(command).items():
        wrong = slip(flag)
        if not flag.startswith("--") or wrong == flag or len(flag) < 8:
            continue
        value = sample(option)
        for words in offered(meant_hint([*path, wrong, value])):
            assert parses(words), words
            assert value in words, words


def test_no_line_that_is_right_gets_another():
    for line in ("ask hi", "ask -m echo: --resume ab12 hi", "history list -n 5", "ps --json"):
        assert meant_hint(line.split()) == ""
