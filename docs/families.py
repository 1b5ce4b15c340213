"""Write docs/families.md: a tiny net of every family is built, opened and asked."""

from __future__ import annotations

import sys
import tempfile
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
    PAGE.write_text(about + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
