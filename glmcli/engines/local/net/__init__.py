"""From ids to scores to ids. The only place that knows torch."""

import os

os.environ.setdefault("USE_HUB_KERNELS", "NO")  # transformers downloads no code to run
