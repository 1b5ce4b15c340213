"""Write docs/families.md: a tiny net of every family is built, opened and asked."""

from __future__ import annotations

import sys
import tempfile
import textwrap
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
PAGE = Path(__file__).parent / "families.md"
ABOUT = """\
# Families of models

What becomes of each family that transformers {version} continues text with. Made by
`python docs/families.py` from tiny random nets, each asked three questions behind a text of
{prompt} tokens, with what was read kept in between; the third goes back to an earlier place.
"Equal" means the same ids as transformers' own `generate`, in float32; a test holds each row. The
first time that a checkpoint is used the same is found out about it, see `--stats`.

- *decoder of our own*, *in parts*: nothing is read twice.
- *each prompt in one block*: it cannot be interrupted, and each turn is read from its beginning.
- *without a cache*: for each token all of the text is read again, as `generate(use_cache=False)`
  does, since the net says something else with its cache.

{summary}

| family | how |
| --- | --- |
"""

PICTURES = """
## Families that also see pictures

They answer text; pictures are not read yet. Of most the decoder alone is read, as the model of text
that it is, and what sees pictures is not loaded: {alone}. The decoder of our own runs all of them.
Others are read whole, by transformers' forward: {whole}; so is what lies in .bin files. A
tiny random net of each says what the whole one says, to within 1e-4 of the spread of its scores; a
test holds that.
"""


def pictures() -> str:
    """The part of the page about families that see pictures."""
    from glmcli.engines.local.net.plain.recipes import WHOLE
    from glmcli.models.files.decoder import SEEING

    alone, whole = (", ".join(f"`{each}`" for each in sorted(names)) for names in (SEEING, WHOLE))
    filled = PICTURES.format(alone=alone, whole=whole)
    head, _, text = filled.partition("\n\n")
    return f"{head}\n\n{textwrap.fill(text, 100, break_on_hyphens=False)}\n"


def main() -> None:
    """Build every family and write the page."""
    import torch
    import transformers

    from tests.support import families

    torch.set_num_threads(1)
    rows = {}
    for family in sorted(families.CLASSES):
        with tempfile.TemporaryDirectory() as folder:
            rows[family] = families.row(family, Path(folder) / "net")
    kinds = Counter(row.partition(":")[0] for row in rows.values())
    summary = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    about = ABOUT.format(
        version=transformers.__version__,
        prompt=families.PROMPT,
        summary=f"{len(rows)} families: {summary}.",
    )
    lines = [f"| `{family}` | {row} |\n" for family, row in rows.items()]
    PAGE.write_text(about + "".join(lines) + pictures(), encoding="utf-8")


if __name__ == "__main__":
    main()
