import pytest

from glmcli.config.values import Seconds, as_duration


@pytest.mark.parametrize(
    ("word", "seconds", "shown"),
    [
        ("90s", 90, "90s"),
        ("10m", 600, "10m"),
        ("2h", 7200, "2h"),
        ("1.5h", 5400, "90m"),
        ("0.2s", 0.2, "0.2s"),
        ("10M", 600, "10m"),
        ("0", 0, "0"),
        ("off", 0, "0"),
        (0, 0, "0"),
        (Seconds(60), 60, "1m"),
    ],
)
def test_a_time_has_a_unit_and_is_shown_as_it_would_be_typed(word, seconds, shown):
    assert (as_duration(word), str(as_duration(word))) == (seconds, shown)
    assert as_duration(shown) == seconds


@pytest.mark.parametrize(
    "word", ["10", 10, 10.5, "-1m", "inf", "nan", "1d", "90 s", "m", True, None]
)
def test_what_has_none_is_not_a_time(word):
    with pytest.raises((ValueError, TypeError)):
        as_duration(word)
