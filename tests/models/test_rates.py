"""What providers say of their limits: both families of headers, both forms of `Retry-After`."""

import pytest

from fanwise.models import Rates, Room, read_rates

NOON = "Fri, 20 Nov 2026 12:00:00 GMT"


def test_openais_family():
    found = read_rates(
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-limit-tokens": "150000",
            "x-ratelimit-remaining-tokens": "149984",
            "x-ratelimit-reset-tokens": "6m0s",
        }
    )
    assert found == Rates(Room(60, 59, 1.0), Room(150_000, 149_984, 360.0))


def test_anthropics_family_counts_from_the_responses_own_date():
    found = read_rates(
        {
            "date": NOON,
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2026-11-20T12:00:02Z",
            "anthropic-ratelimit-input-tokens-limit": "40000",
            "anthropic-ratelimit-input-tokens-remaining": "39000",
            "anthropic-ratelimit-input-tokens-reset": "2026-11-20T12:01:00Z",
            "anthropic-ratelimit-output-tokens-limit": "8000",
            "anthropic-ratelimit-output-tokens-remaining": "8000",
            "anthropic-ratelimit-output-tokens-reset": "2026-11-20T11:59:00Z",
            "anthropic-ratelimit-tokens-limit": "48000",
            "anthropic-ratelimit-tokens-remaining": "47000",
            "anthropic-ratelimit-tokens-reset": "2026-11-20T13:00:00+01:00",
        },
        now=0.0,
    )
    assert found == Rates(
        requests=Room(50, 49, 2.0),
        tokens=Room(48_000, 47_000, 0.0),
        tokens_in=Room(40_000, 39_000, 60.0),
        tokens_out=Room(8_000, 8_000, 0.0),
    )


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:30 GMT", "date": NOON}, 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT", "date": NOON}, 0.0),
    ],
)
def test_both_forms_of_retry_after(given, seconds):
    assert read_rates(given) == Rates(retry_after=seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("0s", 0.0),
        ("12", 12.0),
        ("soon", None),
        ("1m x", None),
    ],
)
def test_lengths_of_time(text, seconds):
    given = {"x-ratelimit-limit-requests": "1", "x-ratelimit-reset-requests": text}
    assert read_rates(given) == Rates(Room(1, None, seconds))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"date": NOON, "content-type": "application/json"},
        {"retry-after": "soon"},
        {"retry-after": "nan"},
        {"x-ratelimit-limit-requests": "many"},
        {"anthropic-ratelimit-requests-reset": "tomorrow"},
    ],
)
def test_what_says_nothing_readable_is_none(given):
    assert read_rates(given) is None
