"""Times in words."""

from __future__ import annotations

import time

from glmcli.terminal.phrases import age


def test_an_age_is_in_the_largest_unit_that_fits():
    assert age(time.time() - 3 * 86400 - 5) == "3 d"
    assert age(time.time() - 65) == "1 min"
    assert age(time.time() + 1000) == "0 s"


def test_the_age_of_an_unknown_time_is_unknown():
    assert age(0.0) == "?"
