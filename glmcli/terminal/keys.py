"""Keys with modifiers: asking a terminal to tell them apart, and reading what it sends.

Only xterm's modifyOtherKeys is asked for, at level 1, since Ctrl-C and all other keys with a
meaning of their own stay as they are there. Knows nothing of what the keys do.
"""

from __future__ import annotations

import os

from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import Output

ASK, TAKE_BACK = "\x1b[>4;1m", "\x1b[>4m"
TERMINALS = ("tmux", "WezTerm", "iTerm.app", "mintty")
"""TERM_PROGRAM of those that understand; others might print what they do not understand."""

ALT, CTRL = 2, 4
"""Bits of a modifier parameter, which is one more than their sum; Shift is the bit 1."""
NAMED = {8: Keys.Backspace, 9: Keys.Tab, 27: Keys.Escape, 127: Keys.Backspace}


def know_modified_keys() -> None:
    """Read keys with modifiers as what they are without this protocol; Shift-Enter as Ctrl-J.

    Sources: xterm's modifyOtherKeys (CSI 27;modifiers;code~) and formatOtherKeys (CSI
    code;modifiers u), which is the form of the kitty keyboard protocol as well.
    """
    for code in (*NAMED, 13, *range(0x20, 0x7F)):
        for modifiers in range(2, 9):
            keys = meant(code, modifiers - 1)
            ANSI_SEQUENCES[f"\x1b[{code};{modifiers}u"] = keys
            ANSI_SEQUENCES[f"\x1b[27;{modifiers};{code}~"] = keys


def meant(code: int, bits: int) -> Keys | tuple[Keys, ...]:
    """The keys that a character code and the bits of its modifiers stand for."""
    if code == 13:
        return (Keys.Escape, Keys.ControlM) if bits == ALT else Keys.ControlJ
    key = NAMED.get(code, Keys.Ignore)
    if bits & CTRL and chr(code).isalpha():
        key = Keys(f"c-{chr(code).lower()}")
    return (Keys.Escape, key) if bits & ALT else key


def tells_keys_apart() -> bool:
    """Whether this terminal is known to understand what it would be asked."""
    return "XTERM_VERSION" in os.environ or os.environ.get("TERM_PROGRAM") in TERMINALS


def ask_with_paste(output: Output) -> None:
    """Ask whenever the editor takes the terminal over, and take it back whenever it lets go.

    That is where bracketed paste is switched: at a prompt, around an editor, Ctrl-Z and the end.
    """
    begin, end = output.enable_bracketed_paste, output.disable_bracketed_paste

    def enable() -> None:
        begin()
        output.write_raw(ASK)

    def disable() -> None:
        output.write_raw(TAKE_BACK)
        end()

    output.enable_bracketed_paste = enable  # type: ignore[method-assign]
    output.disable_bracketed_paste = disable  # type: ignore[method-assign]
