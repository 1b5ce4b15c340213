"""What servers really say when a prompt does not fit, and which number in it is which."""

from __future__ import annotations

import pytest

from glmcli.engines.remote.refusals.overflow import Overflow, fault_of, read_overflow
from glmcli.errors import ContextFull, UsageError

SAID = [
    # (server, what it says, window, prompt, output)
    (
        "OpenAI, vLLM 0.6, FastChat",
        "This model's maximum context length is 4096 tokens. However, you requested 5612 tokens"
        " (612 in the messages, 5000 in the completion). Please reduce the length of the messages"
        " or completion.",
        (4096, 612, 5000),
    ),
    (
        "OpenAI completions, llama-cpp-python",
        "This model's maximum context length is 512 tokens, however you requested 528 tokens (516"
        " in your prompt; 12 for the completion). Please reduce your prompt; or completion length.",
        (512, 516, 12),
    ),
    (
        "OpenRouter",
        "This endpoint's maximum context length is 8192 tokens. However, you requested about 9353"
        " tokens (9000 of text input, 353 of tool input, 300 in the output).",
        (8192, 9000, 300),
    ),
    (
        "OpenAI",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in"
        " 8545 tokens. Please reduce the length of the messages.",
        (8192, 8545, None),
    ),
    (
        "OpenAI, total alone",
        "This model's maximum context length is 4097 tokens, however you requested 4226 tokens",
        (4097, 4226, None),
    ),
    ("OpenAI responses", "Your input exceeds the context window of this model.", (None,) * 3),
    (
        "OpenAI GPT-5",
        "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in"
        " 509178 tokens. Please reduce the length of the messages.",
        (272000, 509178, None),
    ),
    (
        "vLLM 0.9",
        "This model's maximum context length is 2048 tokens. However, your request has 3000 input"
        " tokens. Please reduce the length of the input messages.",
        (2048, 3000, None),
    ),
    (
        "vLLM 0.10",
        "'max_tokens' or 'max_completion_tokens' is too large: 64000. This model's maximum context"
        " length is 64001 tokens and your request has 24235 input tokens (64000 > 64001 - 24235)."
        " None",
        (64001, 24235, 64000),
    ),
    (
        "vLLM 0.11",
        "This model's maximum context length is 8192 tokens. However, you requested 900 output"
        " tokens and your prompt contains at least 7293 input tokens, for a total of at least 8193"
        " tokens. Please reduce the length of the input prompt or the number of requested output"
        " tokens. (parameter=input_tokens, value=7293)",
        (8192, 7293, 900),
    ),
    (
        "vLLM 0.32",
        "This model's maximum context length is 2048 tokens. However, your prompt contains at least"
        " 2049 input tokens, which exceeds this limit even without any output tokens.",
        (2048, 2049, None),
    ),
    (
        "vLLM engine",
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
        (4096, 5000, None),
    ),
    (
        "vLLM scheduler",
        "Input prompt (35247 tokens) is too long and exceeds limit of 1000",
        (1000, 35247, None),
    ),
    (
        "SGLang",
        "Requested token count exceeds the model's maximum context length of 4096 tokens. You"
        " requested a total of 5100 tokens: 100 tokens from the input messages and 5000 tokens for"
        " the completion. Please reduce the number of tokens in the input messages or the"
        " completion to fit within the limit.",
        (4096, 100, 5000),
    ),
    (
        "SGLang, Together",
        "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
        (40960, 61709, None),
    ),
    (
        "SGLang scheduler",
        "Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens). Use a"
        " shorter input or enable --allow-auto-truncate.",
        (59862, 160062, None),
    ),
    (
        "Together",
        "Input length 131393 exceeds the maximum allowed input length of 131040 tokens.",
        (131040, 131393, None),
    ),
    (
        "TGI",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 1244"
        " `inputs` tokens and 1000 `max_new_tokens`",
        (2048, 1244, 1000),
    ),
    (
        "TGI input",
        "Input validation error: `inputs` must have less than 1024 tokens. Given: 1168",
        (1024, 1168, None),
    ),
    (
        "llama.cpp",
        "request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it",
        (8192, 9412, None),
    ),
    (
        "llama.cpp 2025",
        "the request exceeds the available context size. try increasing the context size or enable"
        " context shift",
        (None,) * 3,
    ),
    (
        "llama-cpp-python",
        "Requested tokens (516) exceed context window of 512",
        (512, 516, None),
    ),
    (
        "LM Studio",
        "Trying to keep the first 5000 tokens when context the overflows. However, the model is"
        " loaded with context length of only 4096 tokens, which is not enough. Try to load the"
        " model with a larger context length, or provide a shorter input.",
        (4096, 5000, None),
    ),
    (
        "LM Studio 0.3",
        "The number of tokens to keep from the initial prompt is greater than the context length"
        " (n_keep: 13055>= n_ctx: 4096). Try to load the model with a larger context length",
        (4096, 13055, None),
    ),
    (
        "LM Studio, later",
        "Reached context length of 4096 tokens with model (arch: gpt-oss) that does not currently"
        " support mid-generation context overflow.",
        (4096, None, None),
    ),
    ("LM Studio, MLX", "Context size has been exceeded.", (None,) * 3),
    ("Ollama", "the input length exceeds the context length", (None,) * 3),
    ("Ollama old", "input length exceeds maximum context length", (None,) * 3),
    (
        "LMDeploy",
        "total sequence length (62534 + 3002) exceeds `session_len` (65536)",
        (65536, 62534, 3002),
    ),
    ("LMDeploy chat", "exceed session max length. Please restart the session.", (None,) * 3),
    ("TensorRT-LLM", "Prompt length (5056) exceeds maximum sequence length (2048)", (2048, 5056)),
    (
        "TensorRT-LLM 0.10",
        "Encountered an error when fetching new request: Prompt length (200) exceeds maximum input"
        " length (100). Set log level to info",
        (100, 200, None),
    ),
    (
        "TensorRT-LLM serve",
        "`default_max_tokens` (-3) must be greater than 0, `default_max_tokens` (-3) = max_seq_len"
        " (2048) - `splited_prompt_len` (2051) - `query_token_len` (0)",
        (2048, 2051, None),
    ),
    (
        "TabbyAPI",
        "Request length 71599 + 2048 is greater than max_seq_len 65536",
        (65536, 71599, 2048),
    ),
    (
        "TabbyAPI old",
        "Context length 5000 is greater than max_seq_len 4096",
        (4096, 5000, None),
    ),
    ("Anthropic", "prompt is too long: 213462 tokens > 200000 maximum", (200000, 213462, None)),
    (
        "Anthropic, both",
        "input length and `max_tokens` exceed context limit: 174167 + 64000 > 200000, decrease"
        " input length or `max_tokens` and try again",
        (200000, 174167, 64000),
    ),
    (
        "Mistral",
        "Prompt contains 240000 tokens, too large for model with 128000 maximum context length",
        (128000, 240000, None),
    ),
    (
        "xAI",
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        (131072, 537812, None),
    ),
    (
        "Google",
        "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).",
        (1048575, 1196265, None),
    ),
    (
        "Moonshot",
        "Invalid request: Your request exceeded model token limit: 8192 (requested: 9300)",
        (8192, 9300, None),
    ),
    ("Alibaba", "Range of input length should be [1, 30720]", (30720, None, None)),
    ("Copilot", "prompt token count of 200000 exceeds the limit of 128000", (128000, 200000)),
    (
        "DwarfStar",
        "Prompt has 2000 tokens, but the configured context size is 1000 tokens",
        (1000, 2000, None),
    ),
    ("Zhipu", "Prompt exceeds max length", (None,) * 3),
    ("Zhipu in Chinese", "Prompt 超长", (None,) * 3),
    ("MiniMax", "invalid params, context window exceeds limit (2013)", (None,) * 3),
    ("Groq", "Please reduce the length of the messages or completion.", (None,) * 3),
    (
        "vLLM 0.16",
        "You passed 5001 input tokens and requested 0 output tokens. However, the model's context"
        " length is only 4096 tokens, resulting in a maximum input length of 4096 tokens. Please"
        " reduce the length of the input prompt. (parameter=input_tokens, value=5001)",
        (4096, 5001, 0),
    ),
    (
        "vLLM 0.16, both",
        "You passed 12 input tokens and requested 100000 output tokens. However, the model's"
        " context length is only 4096 tokens, resulting in a maximum input length of -95904 tokens."
        " Please reduce the length of the input prompt. (parameter=input_tokens, value=12)",
        (4096, 12, 100000),
    ),
    (
        "LM Studio without numbers",
        "The number of tokens to keep from the initial prompt is greater than the context length."
        " Try to load the model with a larger context length, or provide a shorter input",
        (None,) * 3,
    ),
    (
        "Cohere",
        "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292."
        " Try using a shorter prompt",
        (4081, 4292, None),
    ),
    (
        "Cohere, limit alone",
        "too many tokens: total number of tokens in the prompt cannot exceed 4081",
        (4081, None, None),
    ),
    (
        "TensorRT-LLM 1",
        "The sum of prompt length (72417.0), query length (0) should not exceed max_num_tokens"
        " (69632)",
        (69632, 72417, None),
    ),
    (
        "SiliconFlow",
        "length of prompt_tokens (163280) must be less than max_seq_len (32768).",
        (32768, 163280, None),
    ),
    (
        "MosaicML, Databricks",
        "Your input is too long. Max input length is 4096 tokens, but you supplied 5441 tokens.",
        (4096, 5441, None),
    ),
    ("Bedrock", "Input is too long for requested model.", (None,) * 3),
    (
        "Bedrock, Titan",
        "Too many input tokens. Max input tokens: 8192, request input token count: 8500",
        (8192, 8500, None),
    ),
    (
        "Fireworks",
        "The prompt is too long: 140000, model maximum context length: 131072",
        (131072, 140000, None),
    ),
    (
        "Cerebras",
        "Please reduce the length of the messages or completion. Current length is 9003 while limit"
        " is 8192",
        (8192, 9003, None),
    ),
    (
        "Google, limit alone",
        "The input token count exceeds the maximum number of tokens allowed (1048575).",
        (1048575, None, None),
    ),
    (
        "Vertex",
        "Unable to submit request because the input token count is 40112 but model only supports up"
        " to 32768. Reduce the input token count and try again.",
        (32768, 40112, None),
    ),
    ("ExLlama", "Context length exceeded: 5000 > 4096", (4096, 5000, None)),
    ("llama.cpp, no shift", "context shift is disabled", (None,) * 3),
    ("Ollama cloud", "prompt too long", (None,) * 3),
    ("Moonshot, no numbers", "Invalid request: Input token length too long", (None,) * 3),
]
OLLAMA = "prompt too long; exceeded max context length by 123 tokens"
TOO_LONG_REPLIES = [
    (
        "vLLM",
        "max_tokens=5000 cannot be greater than max_model_len=2048. Please request fewer output"
        " tokens. (parameter=max_tokens, value=5000)",
        2048,
    ),
    (
        "vLLM, longer",
        "max_tokens=5000 cannot be greater than max_model_len=max_total_tokens=2048.",
        2048,
    ),
    (
        "OpenAI",
        "max_tokens is too large: 5000. This model supports at most 4096 completion tokens, whereas"
        " you provided 5000.",
        4096,
    ),
    ("TGI", "Input validation error: `max_new_tokens` must be <= 4096. Given: 5000", 4096),
    ("DeepSeek", "Invalid max_tokens value, the valid range of max_tokens is [1, 4096]", 4096),
    ("Groq", "`max_tokens` must be less than or equal to `4096`, the maximum value", 4096),
    (
        "Anthropic",
        "max_tokens: 5000 > 4096, which is the maximum allowed number of output tokens for this",
        4096,
    ),
    ("NVIDIA", "max_tokens must be at most 4096, got 5000", 4096),
    (
        "Cohere",
        "too many tokens: max tokens must be less than or equal to 4096 - received 5000",
        4096,
    ),
    ("Alibaba", "<400> InternalError.Algo: Range of max_tokens should be [1, 4096]", 4096),
    (
        "Volcengine",
        "The parameter `max_completion_tokens` specified in the request are not valid: integer"
        " above maximum value, expected a value <= 4096, but got 5000 instead.",
        4096,
    ),
    (
        "Bedrock",
        "The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum"
        " tokens value that is lower than 4096.",
        4096,
    ),
    ("LMDeploy", "The request max_new_tokens 5000 exceeds session_len 4096", 4096),
    ("any", "max_tokens (5000) exceeds context window 4096", 4096),
]
OTHERS = [
    "The model `nope` does not exist",
    "Rate limit reached: too many tokens per minute, limit 4096, requested 5000",
    "Invalid API Key",
    "temperature must be between 0 and 2, got 4096",
    "Extra inputs are not permitted: repetition_penalty, top_k",
    "Service tier capacity exceeded for this model",
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "max_tokens must be at least 1, got -3",
    "Too many tokens, please wait before trying again.",
    "Request too large on tokens per minute (TPM): Limit 4096, Requested 5000",
]


@pytest.mark.parametrize(("server", "said", "numbers"), SAID, ids=[each[0] for each in SAID])
def test_every_server_s_sentence_is_known_with_its_numbers(server, said, numbers):
    window, prompt, output = (*numbers, None)[:3]
    assert read_overflow(None, said) == Overflow(window, prompt, output)


@pytest.mark.parametrize("mark", [",", ".", " ", "_", "'", "\u2019"])
def test_numbers_may_be_parted_into_groups(mark):
    def group(number: int) -> str:
        return f"{number:,}".replace(",", mark)

    for window, prompt in ((4096, 5060), (131072, 1005060), (900, 1000)):
        said = (
            f"This model's maximum context length is {group(window)} tokens, however you requested"
            f" {group(prompt + 40)} tokens ({group(prompt)} in your prompt; 40 for the completion)."
        )
        assert read_overflow(None, said) == Overflow(window, prompt, 40)
        said = f"prompt is too long: {group(prompt)} tokens > {group(window)} maximum"
        assert read_overflow(None, said) == Overflow(window, prompt)


@pytest.mark.parametrize("most", ["4096", "4,096", "[1,4096]", "[1, 4,096]", "[1,512]"])
def test_the_start_of_a_range_is_no_group(most):
    said = f"max_tokens must be at most {most}" if most[0] != "[" else f"max_tokens in {most}"
    wanted = 512 if "512" in most else 4096
    assert read_overflow(None, said, 5000) == Overflow(output=5000, most=wanted)


def test_indian_groups_are_groups():
    found = read_overflow(None, "Range of input length should be [1, 1,31,072]")
    assert found == Overflow(131072)


@pytest.mark.parametrize("size", ["32K", "8k", "128 k", "1M", "1.5m", "7,5k", "32KB", "32KiB"])
def test_a_rounded_number_is_not_known(size):
    said = f"This model's maximum context length is {size} tokens. However, your messages resulted"
    assert read_overflow(None, f"{said} in 5100 tokens.") == Overflow(None, 5100)
    assert read_overflow(None, f"Prompt too long: maximum context length is {size}") == Overflow()
    said = f"maximum context length is 4096 tokens. Your messages resulted in {size} tokens"
    assert read_overflow(None, said) == Overflow(4096)


def test_some_say_only_how_much_is_too_much():
    found = read_overflow(None, OLLAMA)
    assert found == Overflow(over=123)
    cohere = "size limit exceeded by 9 tokens. Try less. The limit for this model is 4096 tokens."
    assert read_overflow(None, f"too many tokens: {cohere}") == Overflow(4096, over=9)
    assert fault_of(found, None, 4096).needed == 4219


@pytest.mark.parametrize(
    "error",
    [
        {"code": "context_length_exceeded", "message": "too long"},
        {"code": 400, "type": "exceed_context_size_error", "message": "?"},
        {"type": "model_context_window_exceeded"},
        {"code": "1261", "message": "?"},
    ],
)
@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: {"error": e}, lambda e: {"detail": [e]}])
def test_a_code_is_enough(error, wrap):
    assert read_overflow(wrap(error), "?") == Overflow()


def test_the_fields_of_llama_cpp_go_before_its_sentence():
    error = {"code": 400, "message": "?", "type": "?", "n_prompt_tokens": 1407, "n_ctx": 256}
    assert read_overflow({"error": error}, "?") == Overflow(256, 1407)


@pytest.mark.parametrize("place", ["max_tokens", "max_completion_tokens", "max_new_tokens"])
@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: {"message": e}, lambda e: {"error": e}])
def test_a_check_of_the_fields_names_the_limit_of_max_tokens(place, wrap):
    said = "Input should be less than or equal to 8192"
    other = {"type": "less_than_equal", "loc": ["body", "top_p"], "msg": "less than or equal to 1"}
    item = {"type": "less_than_equal", "loc": ["body", place], "msg": said}
    for items in ([item], [other, item]):
        found = read_overflow(wrap({"detail": items}), items[0]["msg"], 100_000)
        assert found == Overflow(output=100_000, most=8192)
    assert read_overflow({"detail": [other]}, other["msg"], 100_000) is None


@pytest.mark.parametrize("said", OTHERS)
def test_other_refusals_are_not_taken_for_it(said):
    assert read_overflow({"error": {"message": said, "code": 400}}, said) is None


def test_nothing_absurd_breaks_it():
    deep: dict = {}
    for _ in range(500):
        deep = {"error": deep}
    assert read_overflow(deep, "maximum context length is " + "9" * 400) is None
    assert read_overflow({"n_prompt_tokens": "x", "n_ctx": -1}, "?") is None
    assert read_overflow([[[5]]], "prompt " * 100_000) is None


# Whose fault it is


@pytest.mark.parametrize(
    ("server", "said", "most"), TOO_LONG_REPLIES, ids=[each[0] for each in TOO_LONG_REPLIES]
)
def test_a_reply_that_was_to_be_too_long_is_the_fault_of_max_tokens(server, said, most):
    fault = fault_of(read_overflow(None, said, 5000), 5000, None)
    assert isinstance(fault, UsageError)
    assert "--max-tokens 5,000" in fault.message
    assert f"{most:,}" in fault.hint


@pytest.mark.parametrize(
    ("server", "said", "numbers"),
    [each for each in SAID if each[2][2:] and each[2][2] and each[2][1] < each[2][0]],
)
def test_max_tokens_is_named_where_the_prompt_alone_fits(server, said, numbers):
    window, prompt, output = numbers
    fault = fault_of(read_overflow(None, said, output), output, None)
    assert f"--max-tokens {output:,}" in fault.message
    assert f"{window - prompt:,}" in fault.hint
    assert isinstance(fault, ContextFull) == (output < window)


def test_what_the_user_did_not_ask_for_is_not_named():
    fault = fault_of(Overflow(4096, 4000, 200), None, None)
    assert (fault.needed, fault.limit, fault.output) == (4200, 4096, None)


@pytest.mark.parametrize(
    ("found", "asked", "window", "message"),
    [
        (Overflow(), None, None, "the prompt is longer than the model's window"),
        (Overflow(), None, 4096, "longer than the model's window of 4,096 tokens"),
        (Overflow(4096), None, None, "longer than the model's window of 4,096 tokens"),
        (Overflow(4096, 4000), None, None, "longer than the model's window of 4,096 tokens"),
        (Overflow(2048, 3000), 10, 4096, "needs 3,000 tokens, but the model's window holds 2,048"),
        (Overflow(), 10, None, "the prompt and --max-tokens 10 do not fit the model's window"),
        (Overflow(), 10, 4096, "--max-tokens 10 do not fit the model's window of 4,096 tokens"),
    ],
)
def test_what_is_not_known_is_not_said(found, asked, window, message):
    assert message in fault_of(found, asked, window).message
