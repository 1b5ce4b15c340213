"""What other programs call what this one has: options, commands and values, and what it is here.

Tables and nothing else. Behind the names of an option a word in capitals says that a value follows.
What it is here is a piece of a command line in which X is that value: an option, text (X, or +X
behind all others), a part of the shell (`> X`, or `A=X` before the line), another line (`glm …`).
Of several behind | the first that fits counts. `!WHY` is left out, and that is said. What is only a
command line is the same in every language. {X} is the question in a body of JSON that X is.
"""

from __future__ import annotations

from glmcli.language import later

EVERY_ONE = ("all", "*", "everything", "--all", "-a")
"""What is typed for each conversation in place of an id."""
EACH = later(
    "name each: glm history delete ID ID; all of them: "
    "glm history list --all -n 9999 | cut -f1 | xargs glm history delete --yes"
)
BACK = later("name each: glm history undelete ID ID; without an ID it lists them")
WHY = {
    "AGES": later("there is no choice by age: glm history list --all -n 9999 shows ages"),
    "BEGINS": later("a chat begins a new conversation; --continue goes on with the last one"),
    "ALIAS": later("a shell gives short names: alias NAME='glm ask -m MODEL'"),
    "COLOURS": later("colours are those of the terminal; NO_COLOR=1 leaves them out"),
    "BODY": later("a question is text as it is, no JSON"),
    "CONFIG": later("glm config path prints where config.toml is; glm config edit opens it"),
    "DEVICE": later("a model that is too large for one GPU is spread over all of them"),
    "EMBED": later("glm makes no embeddings"),
    "ENDS": later("glm ps lists the models that are kept in memory, glm stop ends one"),
    "FORM": later("the form of a file is found by itself: glm history import FILE"),
    "FORMS": later("--format says the form: text, markdown, json, jsonl or records"),
    "FREE": later("no schema or grammar binds a reply: describe its form in the question"),
    "HUB": later("a hub lists models; glm models pull ORG/NAME fetches one"),
    "SAVED": later("a chat is saved by itself: glm history export ID > FILE writes it"),
    "IDS": later(
        "--resume ID goes on with one, -c with the last; glm history list --all shows ids"
    ),
    "KEY": later("a key is never an option: export GLM_API_KEY=KEY, or glm config set api_key -"),
    "KEYS": later("glm config set keys.HOST is for one server, glm config set api_key - for all"),
    "REQUEST": later("each request says how it is answered"),
    "STAYS": later("a server keeps its model until Ctrl-C ends it"),
    "LEAVE": later("glm is not running here; Ctrl-D leaves a chat"),
    "LISTED": later("it lists all that there are, without an option"),
    "MODEL": later("the model of each is in --json"),
    "NEWEST": later(
        "the newest come first: glm history list -n N; glm history search WORDS finds others"
    ),
    "NONE": later("glm has none of that; glm --help lists its commands"),
    "ONE": later("name one: glm models remove NAME; glm models list shows them"),
    "PARAMETERS": later(
        "a role has no parameters: glm ask --each FILE --prompt TEXT fills a text in"
    ),
    "PICTURES": later("pictures cannot be sent: a model reads text here"),
    "QUEUE": later("one process answers several requests at once"),
    "ROLE": later("a system prompt with settings is a role: glm roles edit NAME"),
    "ROLES": later("--role NAME takes a role; glm roles list shows them"),
    "ROLE_FILE": later("glm roles show NAME tells which file it is: delete or rename that"),
    "SAMPLING": later(
        "replies are sampled by --temperature, --top-p, --top-k, --repetition-penalty"
    ),
    "SMALLER": later("--quantize int8 makes weights smaller"),
    "STDIN": later("what is on stdin goes with the question by itself"),
    "STREAM": later("a reply streams by itself; --no-stream waits for its end"),
    "THINK": later("--think or --no-think; how much it thinks is the model's own matter"),
    "TOOLS": later("a model calls no tools here"),
    "UPDATE": later("no index holds it: git pull in the folder of its source, then pip install ."),
    "WORDS": later("all words are looked for, as they are: glm history search WORDS"),
}
"""What is said of what there is not, or that is done in another way."""

OPTIONS_ELSEWHERE = """
[glm *]
--json --json-mode --json-output = --format json | --json
--jsonl = --format jsonl | --json
--fmt --格式 --format --output-format --response-format --style FORM = --format X | --json
--raw --text --txt = --format text | --plain
--markdown --md = --format markdown
--temp --温度 X = --temperature X
-t -T X = --threads X | --temperature X | --role X | !ROLES
-r ROLE = --resume X | --role X
--reasoning --effort --reasoning-effort --thinking-budget --think-budget X = !THINK
--hide-thinking --hidethinking --hide-reasoning = --thinking hide
--show-thinking = --thinking show
--flash-attn --flash-attention -fa = --attn flash
--session --恢复 --session-id --conversation --id --cid --thread --chat-id ID = --resume X | !IDS
--repl --chat ID = --resume X | glm chat X | glm chat | !IDS
--last --继续 --latest --continue-last --resume-last -C -lc --previous = --continue
--usage --统计 --timings --timing --verbose -v --speed --verbose-prompt -u = --stats
--log-level N = --stats
--list-models --list-model --list -l = glm models list
--models NAME = --model X | glm models list
--roles NAME = --role X | glm roles list
--list-roles --list-prompts --list-templates = glm roles list
--list-sessions --list-chats --sessions --chats --history = glm history list
--info --dump-config --show-config --settings = glm config show
-M --模型 --model-id --model-path --model-name --model-name-or-path -mp NAME = --model X
-hf -hfr --hf-repo --hf --repo -hff NAME = --model X
--persona --agent --template-name --preset --pattern --character --角色 NAME = --role X
--shell --execute -e --cmd --command = --role shell
--silent --安静 --no-notices --no-warnings --simple = --quiet
--csv --tsv --html --pretty --yaml --table = --json | !FORMS
--no-markdown --no-format --no-render --no-md --nowordwrap --no-wrap = --plain
--dir --folder --recursive --glob --include --directory PATH = --file X
--data-urlencode -F --form TEXT = {X} | !BODY
-d --data --data-raw --data-binary FILE = {X} | --file X | !BODY
-X --request METHOD = !BODY
--log-file --logfile --log FILE = 2> X
--设备 NAME = --device X
--帮助 = --help
-H --header --headers TEXT =
-k --api-key --key --token --apikey KEY = !KEY
--attach --文件 --附件 --attachment --attachments --input --input-file FILE = --file X
--image --images --img --picture FILE = !PICTURES
--rag --files --context-file --read --doc --document -at --prompt-file -fp FILE = --file X
-i FILE = --file X | glm chat X
--paste --stdin --pipe = !STDIN
--proxy URL = HTTPS_PROXY=X
--min-p --frequency-penalty --presence-penalty --typical-p --typical --mirostat X = !SAMPLING
--num-beams --best-of --n --length-penalty --repeat-last-n X = !SAMPLING
--repeat-penalty --rep-pen X = --repetition-penalty X
--gpu-layers --n-gpu-layers -ngl N = --device cuda
--gpus --gpu-id --gpu-ids --cuda-device --main-gpu -mg N = --device cuda:X
--num-gpus --tensor-parallel-size --tensor-parallel -tp --tp --data-parallel-size -dp N = !DEVICE
--pipeline-parallel-size --tensor-split -ts --split-mode -sm N = !DEVICE
--gpu-memory-utilization --max-gpu-memory --max-memory --mem-fraction-static --swap-space X =
--cuda = --device cuda
--gpu N = --device cuda:X | --device cuda
--cpu --no-gpu --cpu-only = --device cpu
--metal --mps = --device mps
--fp16 --half --float16 = --dtype float16
--bf16 --bfloat16 = --dtype bfloat16
--fp32 --float32 = --dtype float32
--torch-dtype --precision X = --dtype X
--load-in-8bit --load-8bit --8bit --int8 --q8 = --quantize int8
--load-in-4bit --load-4bit --4bit --int4 --q4 = --quantize int4
--quantization --quant --bits X = --quantize X
--lora --lora-path --lora-modules --peft --adapter-path DIR = --adapter X
--revision --tag REV = @X
--mirror --from --hub --hf-endpoint --endpoint-url URL = HF_ENDPOINT=X
--local-files-only --no-network --local --no-download --airplane = --offline
--vim --vi-mode = --vi
--max-length --n-predict --predict --max-new-tokens --num-predict -n --length N = --max-tokens X
--max-output-tokens --maxlen --长度 --max-completion-tokens --token-limit N = --max-tokens X
--context-length --ctx --ctx-size --num-ctx --max-model-len --context-window N = --window X
--context-size --窗口 --上下文 --max-seq-len --max-context-length --n-ctx N = --window X
--n-threads --num-threads --cpu-threads -tb --jobs -j N = --threads X
--keepalive --keep-alive --ttl TIME = --keep X
--host --server --api-base --endpoint --url --base --openai-base-url -b URL = --base-url X
--port N = --base-url http://127.0.0.1:X
--output --out -o --output-file --out-file --outfile --save -S --write --save-as FILE = > X
--stream --streaming = !STREAM
--sync --nostream --no-streaming = --no-stream
--no-history --incognito --private --no-log --no-cache --temporary --ephemeral = --no-save
--theme --color --colour WHEN = !COLOURS
--no-color --no-colour --nocolor --monochrome = NO_COLOR=1
--home --data-dir DIR = GLM_HOME=X
--cache --cache-dir --download-dir --models-dir --output-dir DIR = GLM_CACHE=X
--config --config-file --profile --settings-file FILE = !CONFIG
--prompt -p --message --question --query --user --text-prompt --ask --print TEXT = X
--system-prompt --sys --instructions --instruct --system-message -sys --系统 -sp TEXT = --system X
--system-file --system-prompt-file -sysf FILE = --system @X
--stop-sequence --stop-sequences --reverse-prompt --stop-token --eos TEXT = --stop X
--new --reset --fresh --new-chat = !BEGINS
--greedy --deterministic --no-sample = --temperature 0
--random-seed --rng-seed --种子 --随机种子 N = --seed X
--lang --language --locale --reply-lang LANG = LC_ALL=X
--extract --extract-last --code-only --xl = -x
--no-input --non-interactive --no-interactive = --no-stdin
--wrap --columns --word-wrap N = --width X
--no-thinking --nothink --disable-thinking --no-reasoning = --no-think
--enable-thinking --thinking-mode = --think
--schema --json-schema --grammar --grammar-file --schema-multi FILE = !FREE
--tools --tool --functions --mcp --plugin --mcp-config --allowed-tools NAME = !TOOLS
--version --版本 -V --ver = glm --version
--editor NAME = EDITOR=X
--to --dest --destination FILE = > X
--interactive --interactive-first -it --conversation-mode -cnv = glm chat
--request-timeout --time-out --max-time X = --timeout X
--max --count --number --num N = --limit X
[glm]
-v -V = --version
[glm ask]
--bulk --batch --batch-file --map --input-jsonl --from-file FILE = --each X
--concurrency --workers --parallel-requests --jobs -j -P N = --parallel X
[glm chat]
--repl --chat --session --conversation --thread --name NAME = --resume X | !NAMED
-f FILE = --file X | -f X
--list -l = glm history list
--output --out -o --output-file --save -S --save-as --log-file --log FILE = !SAVED
[glm bench]
--iterations --repeat --repeats --num-runs --iters --rounds -r --trials N = --runs X
--max-tokens --max-new-tokens --output-len --gen -tg --n-gen --n-predict N = --tokens X
--prompt --input-len -p --sizes --lengths --n-prompt -pp N,N = --prompts X
--batch --batch-size --parallel --concurrency -c N =
--csv --markdown --md = --json
[glm serve]
-c N = --window X
--bind --listen --ip --address --hostname --server-name --addr -H HOST = --host X
--server-port --port-number --listen-port -p -P N = --port X
--uds --unix-socket --sock PATH = --socket X
--controller-address --controller-url URL = --controller X
--api-key --api-keys --key --auth-token --token KEY = GLM_SERVE_KEY=KEY
--keep --keepalive --keep-alive --ttl TIME = !STAYS
--system -s --role -r --temperature --temp --top-p --top-k --max-tokens --stop --seed X = !REQUEST
--repetition-penalty --format --context X = !REQUEST
--think --no-think --stats --no-save --json = !REQUEST
--public --listen-all --expose --share = --host 0.0.0.0
--served-model-name --alias --model-alias --model-names NAME =
--workers -w --limit-worker-concurrency --max-num-seqs --parallel -np N = !QUEUE
--daemon -d --background --detach -D = &
--ssl-keyfile --ssl-certfile --cert --cors --allow-origins --allowed-origins FILE =
--silent --no-access-log --disable-log-requests = --quiet
--log-requests --verbose -v =
--output FILE = > X
[glm stop, glm history list]
-a --asks --full --everything = --all
[glm ps, glm models list, glm roles list, glm config show]
--all -a --local --installed --downloaded --verbose -v --source --sources = !LISTED
[glm history list]
--kind --type --kinds KIND = --all
-c --current = glm history show last
--search --grep --query --find --contains --filter WORDS = glm history search X
--sort --order --order-by --since --after --before --page --until --offset --from KEY = !NEWEST
--reverse -r --desc --asc = !NEWEST
--model -m NAME = !MODEL
--last --top --head N = --limit X
--latest = --limit 1
--deleted --trash = glm history undelete
--output -o -f FORM = --json
--no-pager --raw --oneline --simple --quiet -q = --plain
[glm models list, glm models show]
--long -l --details --info --full --modelfile --license --parameters --verbose -v =
[glm history list, glm models list, glm history show]
--csv --tsv --markdown --md = | cat
[glm history show]
--raw --text --no-color = --plain
-f FORM = --json
[glm history search]
--regex --all -i -w --ignore-case --model --fuzzy -e -a = !WORDS
[glm history export]
--all -a =
--file FILE = > X
[glm history rename]
--title --name -t --to TEXT = +X
[glm history import]
--format -f --from --type FORM = !FORM
--file --input -i FILE = X
[glm history delete, glm models remove]
--force -f --no-confirm --no-prompt = --yes
[glm history delete]
--older-than --older --before --since --after --until --newer-than --days --age AGE = !AGES
--permanent --permanently --forever --hard = --purge
[glm models list]
--remote --server --host --url URL = --base-url X
--sort --order --order-by KEY = | sort
--search --grep --filter --name WORD = | grep X
--quiet -q --no-header = | cat
[glm models pull]
--quantize --quant X = !SMALLER
--output --local-dir --dir -o DIR = GLM_CACHE=X
[glm models remove]
--all -a = !ONE
[glm config get]
--all -a = glm config show
[glm config unset]
--all -a = glm config edit
"""
"""Command, or [glm *] for all, and the names of an option elsewhere = what it is here."""

COMMANDS_ELSEWHERE = """
[glm]
version = glm --version
help hlep man usage get-help 帮助 = glm --help; glm COMMAND --help
run load use launch exec 运行 = glm ask -m MODEL
start new repl interactive shell talk cli 聊天 = glm chat
unload kill free 停止 = glm stop MODEL
status top = glm ps
last latest = glm history show last
keys key auth token login logout = !KEYS
prompt complete generate query say question 问 提问 询问 = glm ask WORDS
create = glm roles edit NAME
cp push = !ROLE
doctor info env check = glm config show; glm models list
perf measure speed benchmark 测试 = glm bench
list ls = glm models list; glm history list
images = glm models list
commit = git diff --staged | glm ask --role commit
pull download install get fetch clone 下载 = glm models pull NAME
rm rmi remove delete = glm models remove NAME; glm history delete ID
exit quit bye 退出 = !LEAVE
set = glm config set NAME VALUE
search find grep 搜索 = glm history search WORDS
export = glm history export ID
import = glm history import FILE
show inspect = glm history show ID; glm models show NAME
restart reload = !ENDS
update upgrade self-update = !UPDATE
uninstall self-uninstall = pip uninstall glm-chat
completion completions autocomplete = glm --install-completion
embed embeddings embed-multi similar = !EMBED
plugins fragments tools mcp schemas collections embed-models = !NONE
alias aliases = !ALIAS
server api listen api_server openai_api_server daemon model_worker worker = glm serve
[glm models]
rm delete del uninstall 删除 = glm models remove NAME
download install add get fetch update upgrade 下载 = glm models pull NAME
info inspect describe cat path where which = glm models show NAME
ls 列表 = glm models list
ps loaded running = glm ps
stop unload = glm stop NAME
serve = glm serve NAME
chat import link = glm chat -m NAME
run load ask = glm ask -m NAME
convert quantize = !SMALLER
bench benchmark = glm bench NAME
search find = !HUB
use set default switch = glm config set model NAME
[glm history]
rm remove del erase 删除 clear purge prune empty wipe = glm history delete ID
resume continue open edit chat use = glm chat --resume ID
ls all log recent 列表 = glm history list
find grep filter 搜索 = glm history search WORDS
cat view print info get read display 查看 显示 = glm history show ID
save backup dump = glm history export ID
load = glm history import FILE
restore undo recover trash deleted = glm history undelete ID
last latest head newest = glm history list -n 1
count stats = glm history list --all
title name mv = glm history rename ID TITLE
where file location = glm history path
[glm roles]
ls 列表 = glm roles list
new add create set open vi vim nano = glm roles edit NAME
cat view print get = glm roles show NAME
use run start = glm chat --role NAME
delete remove rm rename mv path where = !ROLE_FILE
[glm config]
list ls all view print dump 列表 显示 = glm config show
reset remove rm delete del clear = glm config unset NAME
add put change 设置 修改 = glm config set NAME VALUE
open vi vim nano init create new = glm config edit
where file location = glm config path
import load reload = !CONFIG
read cat = glm config get NAME
[ollama]
list ls = glm models list
rm delete = glm models remove NAME
show = glm models show NAME
[llm]
install uninstall openai = !NONE
[groups]
logs log conversations conversation chats sessions session threads 历史 记录 = history
templates template prompts agents personas characters presets patterns 角色 = roles
settings setting configure preferences prefs cfg options conf 设置 配置 = config
模型 = models
"""
"""Group of commands, and what others call a command there = what to type."""

VALUES_ELSEWHERE = """
[format]
md html = markdown
txt plain raw = text
ndjson stream-json stream_json json-stream = jsonl
json_object json_schema = json
[dtype]
fp16 half f16 16 = float16
bf16 = bfloat16
fp32 float full f32 32 = float32
[quantize]
8bit 8-bit 8 q8 q8_0 bitsandbytes int_8 w8 = int8
4bit 4-bit 4 q4 q4_0 q4_k_m nf4 int_4 w4 = int4
off no false fp16 = none
[device]
gpu cuda:all 0 nvidia = cuda
metal apple = mps
cpu:0 = cpu
[attn]
flash_attention_2 flash-attn fa flash2 = flash
[thinking]
on true visible = show
off false none no = hide
[limit]
all = 9999
[setting]
temp 温度 = temperature
default_model model_name model_id 模型 = model
max_length max_new_tokens n_predict tokens = max_tokens
ctx context_length num_ctx ctx_size = window
url api_base endpoint = base_url
key token = api_key
[keep]
forever always infinite -1 = 8760h
never none no = 0
[code]
python py bash sh javascript js typescript ts json html css sql c cpp c++ java go rust = last
[context]
sliding truncate drop drop_oldest = drop-oldest
"""
"""Option, and a value of it elsewhere = what it is here."""
