import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnbench.report import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (5.2134, "5.21"),
        (0.9999, "1.00"),
        (0.012345, "0.0123"),
        (203.4, "203"),
        (5213.4, "5213"),
        (-0.5, "-0.500"),
        (3.14e-7, "3.14e-07"),
        (2.5e9, "2.50e+09"),
    ],
)
def test_significant(value: float, shown: str) -> None:
    assert text.significant(value) == shown


@given(st.floats(1e-9, 1e9), st.integers(2, 6))
def test_significant_is_true_to_its_digits(value: float, digits: int) -> None:
    assert float(text.significant(value, digits)) == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))


@pytest.mark.parametrize(
    ("value", "half", "shown"),
    [
        (0.51234, 0.0034, "0.5123 ± 0.0034"),
        (0.51234, 0.2, "0.51 ± 0.20"),
        (1234.5, 67.0, "1234 ± 67"),
        (0.51234, 0.0, "0.512"),
        (0.51234, 1e-16, "0.512"),
        (0.51234, None, "0.512"),
        (0.51234, 2e-9, "0.512 ± 2.0e-09"),
    ],
)
def test_plus_minus_rounds_both_to_the_second_digit_of_the_half_width(
    value: float, half: float | None, shown: str
) -> None:
    assert text.plus_minus(value, half) == shown


def test_an_interval_cannot_be_broken_across_lines() -> None:
    assert " " not in text.bracketed(2.2, 2.4)
    assert " " not in text.percent(0.043, (0.01, 0.07))
    assert text.printable(text.bracketed(2.2, 2.4)) == "[2.20, 2.40]"
    assert text.printable(text.percent(0.043, (-0.0001, 0.27))) == "4.3 % [0.0, 27]"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(3.2e-6, "3.20 µs"), (0.5, "500 ms"), (12.34, "12.3 s"), (125, "2 min 05 s")]
)
def test_duration(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


def test_rounded_never_shows_sixty_seconds() -> None:
    assert [text.rounded(value) for value in (39.0, 119.4, 179.7)] == ["39 s", "119 s", "3 min 00 s"]


def test_one_unit_serves_a_column() -> None:
    assert text.time_unit([2.2e-4, 5e-3]).name == "µs"
    assert text.time_unit([]).name == "s"


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b[31mred\x1b[0m",
        "a\x07b",
        "title\x1b]0;owned\x07",
        "a\u202eb",  # right-to-left override
        "a\u200bb",  # zero-width space
        "a\x9b31mb",  # the one-byte form of ESC [
        "\x00",
        "\udcff",  # what surrogateescape makes of a bad byte; it cannot be encoded
    ],
)
def test_printable_leaves_nothing_that_a_terminal_acts_on(hostile: str) -> None:
    shown = text.printable(hostile)
    assert shown.isprintable()
    shown.encode()


def test_printable_keeps_words_apart() -> None:
    assert text.printable("one\ntwo\tthree") == "one two three"


@pytest.mark.parametrize(
    ("items", "shown"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_joined(items: list[str], shown: str) -> None:
    assert text.joined(items) == shown
