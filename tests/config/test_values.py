import pytest

from glmcli.config import load_settings
from glmcli.config.values import Seconds, as_duration
from glmcli.errors import ConfigError


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


@pytest.mark.parametrize(
    ("name", "typed", "hint"),
    [
        ("timeout", "10m", "did you mean 600?"),
        ("timeout", "1.5min", "did you mean 90?"),
        ("timeout", "30 sec", "did you mean 30?"),
        ("timeout", "500ms", "did you mean 0.5?"),
        ("timeout", "1,000", "did you mean 1000?"),
        ("timeout", "999999h", "a number, as"),
        ("timeout", "4k", "a number, as"),
        ("window", "1m", "did you mean 1000000?"),
        ("window", "999999999M", "did you mean 999999999000000?"),
        ("window", "30s", "a number, as"),
        ("window", "4,096", "did you mean 4096?"),
        ("window", "4,5", "a number, as"),
        ("max_tokens", "4.1k", "did you mean 4100?"),
        ("max_tokens", "0k", "a number, as"),
        ("top_p", "90%", "did you mean 0.9?"),
        ("top_p", "700%", "a number, as"),
        ("top_p", "is 7", "a number, as"),
        ("temperature", "700%", "a number, as"),
        ("temperature", "0,7", "did you mean 0.7?"),
        ("temperature", "0,125", "did you mean 0.125?"),
        ("temperature", "is 0.5", "did you mean 0.5?"),
    ],
)
def test_what_is_no_number_gets_the_number_that_was_meant(name, typed, hint):
    with pytest.raises(ConfigError) as caught:
        load_settings({name: typed}, environ={})
    assert caught.value.hint.startswith(hint)
