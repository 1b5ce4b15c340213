"""What every sentence about a full window has, whatever its words: for servers that nobody listed.

It names the prompt or the window, and says that one is more than the other. So do limits of a rate,
of an account or of a picture; these name what they are about. Knows no server.
"""

from __future__ import annotations

import re

NUMBER = r"(?P<\1>(?<![0-9])[0-9]{1,15}(?![0-9]))"
_PARTED = re.compile(
    r"(?<![\[0-9])[0-9]{1,3}(?:([,.'’_ ])(?:[0-9]{2}\1)*[0-9]{3})(?:\1[0-9]{3})*(?![0-9])"
)
"""A number in groups: 4,096, 4.096, 4 096, 1,31,072. Behind [ stands the start of a range."""
_ROUNDED = re.compile(r"(?<![0-9])[0-9]+(?:[.,][0-9]+)? ?[km](?:i?b)?(?!\w)", re.IGNORECASE)


def plain_numbers(sentence: str) -> str:
    """A sentence with its numbers in digits alone; 0 for 32K, be a K 1,000 or 1,024: not known."""
    whole = _PARTED.sub(lambda found: re.sub("[^0-9]", "", found[0]), sentence)
    return _ROUNDED.sub("0", whole)


_WINDOW = (
    r"(?:(?:max(?:imum)?[ _-]?)?(?:model|context|ctx|seq(?:uence)?|session|prompt|input|kv)"
    r"(?:'s)?[ _-](?:max(?:imum)?[ _-])?(?:model )?(?:len(?:gth)?|window|size|limit|capacity)\b"
    r"|\b(?:max_model_len|max_seq_len|max_position_embeddings|n_ctx|num_ctx|ctx_size|session_len)\b"
    r"|\bmaximum (?:allowed )?(?:input|context|prompt|sequence|number of (?:input )?tokens)\b"
    r"|\bmax(?:imum)? model len(?:gth)?\b|\btoken limit\b|\blimit of [0-9]+(?: input)? tokens\b"
    r"|\bcontext window\b|\bfor (?:the |its |this )?context\b)"
)
_PROMPT = (
    r"\b(?:prompt|inputs?|messages?|conversation|requests?|context|sequence|query|text|document"
    r"|tokens?|n_keep)\b"
)
_MORE = (
    r"(?:\bexceed(?:s|ed|ing)?\b|\b(?:greater|longer|larger|bigger|more) than\b|>=?|\bbeyond\b"
    r"|\bover(?:flow(?:s|ed|ing)?|runs?)?\b|\btoo (?:long|large|big|many)\b"
    r"|\b(?:does not|doesn't|do not|cannot|can't|won't) fit\b|\bsurpass(?:es|ed)?\b)"
)
_LOOKED_AT = 2000
"""Characters of a sentence."""
_NEAR = r"[^\n]{0,80}?"
_SAID = tuple(
    re.compile(each, re.IGNORECASE)
    for each in (
        rf"{_WINDOW}{_NEAR}{_MORE}|{_MORE}{_NEAR}{_WINDOW}",
        r"\b(?:prompt|inputs?|messages?|conversation|context|sequence)\b(?=[^\n]{0,120}"
        rf"(?:\btoken|\blen(?:gth)?\b|\bsize\b)){_NEAR}{_MORE}[^.\n]{{0,40}}?[0-9]{{3}}",
        r"(?:prompt|input)(?: token length| context)?(?: is)? too long",
        rf"{_PROMPT}{_NEAR}\btoo (?:long|large|big)\b{_NEAR}\b(?:tokens?|context)\b",
        r"\btoo many (?:prompt|input|context) tokens\b|\btoo many tokens in (?:the |your )?"
        r"(?:prompt|input|messages?|context)",
        r"(?:输入|上下文|提示词?|对话|消息|prompt|context|tokens?)[^\n。]{0,30}(?:超过|超出|超限|过长|太长|过大)",
        r"(?:超过|超出)[^\n。]{0,20}(?:上下文|最大长度|最大输入|token)",
        r"Context(?:Window|Length|Size)?(?:Exceeded|Overflow)",
    )
)
_OTHER = re.compile(
    r"\bper[ -](?:min(?:ute)?|day|hour|sec(?:ond)?|month|week|user)\b|\b[TR]P[MDHS]\b|/ ?min\b"
    r"|\brate[ _-]?limit|\bquota\b|\bbilling\b|\bcredits?\b|\bafford\b|\bbalance\b|\bplan\b"
    r"|\bAPI[ _-]?key\b|\bqueue\b|\boverloaded\b|\bconcurren|\btry again (?:in|later)\b"
    r"|\bplease wait\b|\bimages?\b|\baudio\b|\bvideos?\b|\bpixels?\b|\bout of memory\b"
    r"|\btimed? ?out\b|\btemperature\b|\btop_[pk]\b|\bstop (?:sequences?|strings?)\b|\btools?\b"
    r"|\bfunction[ _](?:call|name|def)|\blog_?probs\b|\bpenalty\b"
    r"|每分钟|限流|配额|额度|余额|频率|并发|图片|图像",
    re.IGNORECASE,
)
_REPLY_ALONE = re.compile(r"\bmax_(?:\w+_)?tokens\b|\boutput tokens\b|\bcompletion tokens\b", re.I)
_PROMPT_TOO = re.compile(
    r"\b(?:prompt|inputs?|messages?|context|n_ctx)\b|session_len", re.IGNORECASE
)
_CODE = re.compile(
    r"(?:context|prompt|input|message|sequence)\w*?(?:exceed|overflow|too_?(?:long|large|big|many)"
    r"|over_?limit|limit_?reached)|exceed\w*?(?:context|prompt|input_?(?:len|token)|token_?limit)"
    r"|too_?many_?(?:input_?|prompt_?)tokens|tokens?_?limit_?(?:reached|exceeded)",
    re.IGNORECASE,
)
_COUNT = re.compile(
    r"(?<![\w.+-])([0-9]{1,15})(?![0-9]|\.[0-9]|-?[a-zA-Z]| (?:char|byte|letter|word))"
)


_RATE = re.compile(
    r"\bper[ -](?:min(?:ute)?|day|hour|sec(?:ond)?)\b|\b[TR]P[MDHS]\b|rate[ _-]?limit|每分钟|限流",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content[ _](?:filter|management|policy)|ResponsibleAI|moderation|flagged_input|内容安全|敏感",
    re.IGNORECASE,
)


def is_rate(said: str) -> bool:
    """Whether a sentence or a code is about how much may be asked for in a time."""
    return bool(_RATE.search(said))


def is_filter(said: str) -> bool:
    """Whether a sentence or a code is about what may not be said."""
    return bool(_FILTER.search(said))


def is_other(sentence: str) -> bool:
    """Whether a sentence is about a limit of another kind."""
    return bool(_OTHER.search(sentence))


def is_code_of_overflow(code: str) -> bool:
    """Whether the code or the type of an error says that a window is full."""
    return bool(_CODE.search(code)) and not is_other(code.replace("_", " "))


def overflow_by_kind(sentence: str) -> tuple[int | None, int | None] | None:
    """(the window, the prompt) that a sentence states, in tokens; None if it is not about them.

    `sentence` has its numbers in digits alone. A number counts where one stands alone on its side.
    """
    sentence = sentence[:_LOOKED_AT]
    if _REPLY_ALONE.search(sentence) and not _PROMPT_TOO.search(sentence):
        return None
    if not any(said.search(sentence) for said in _SAID):
        return None
    more = re.search(_MORE, sentence, re.IGNORECASE)
    if more is None:
        return None, None
    before = _COUNT.findall(sentence[: more.start()])
    after = _COUNT.findall(sentence[more.end() :])
    window = int(after[0]) if len(after) == 1 else None
    prompt = int(before[0]) if len(before) == 1 else None
    if not window or not prompt or prompt < window:
        prompt = None
    return window or None, prompt
