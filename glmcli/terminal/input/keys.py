"""Keys with modifiers: reading them from a terminal that was asked to tell them apart.

Knows nothing of what the keys do, and asks for nothing: `Quiet` does.
"""

from __future__ import annotations

from typing import Any

from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.keys import Keys

ALT, CTRL = 2, 4
"""Bits of a modifier parameter, which is one more than their sum; Shift is the bit 1."""
ENTER = 13
NAMED = {8: Keys.Backspace, 9: Keys.Tab, 27: Keys.Escape, 127: Keys.Backspace}
SHIFT_SPACE = Keys.F24
"""prompt-toolkit has no name for it, and no keyboard has an F24."""
_KNOWN = {key.value: key for key in Keys}


def know_modified_keys() -> None:
    """Read keys with modifiers as the same keys without this protocol; Shift-Enter as Ctrl-J.

    Sources: xterm's modifyOtherKeys (CSI 27;modifiers;code~) and formatOtherKeys (CSI
    code;modifiers u), which is the form of the kitty keyboard protocol as well.
    """
    for code in (*NAMED, ENTER, *range(0x20, 0x7F)):
        for modifiers in range(2, 9):
            keys: Any = keys_of(code, modifiers - 1)  # its type leaves out plain characters
            ANSI_SEQUENCES[f"\x1b[{code};{modifiers}u"] = keys
            ANSI_SEQUENCES[f"\x1b[27;{modifiers};{code}~"] = keys


def keys_of(code: int, bits: int) -> Keys | tuple[Keys | str, ...]:
    """The keys that a character code and the bits of its modifiers stand for."""
    if code == ENTER:
        return (Keys.Escape, Keys.ControlM) if bits == ALT else Keys.ControlJ
    char = chr(code).lower()
    key: Keys | str
    if code in NAMED:
        key = NAMED[code]
    elif bits & CTRL:
        key = _KNOWN.get("c-@" if char == " " else f"c-{char}", Keys.Ignore)
    elif bits & ALT:
        key = chr(code)
    else:
        key = SHIFT_SPACE if char == " " else Keys.Ignore
    return (Keys.Escape, key) if bits & ALT else Keys(key)
