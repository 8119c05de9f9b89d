"""Numbers as a reader wants them: as many digits as they deserve, and no more."""

import math

from rich.filesize import pick_unit_and_suffix

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"
_THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"
_TINIEST = 1e-300
"""Smaller numbers have no power of ten to divide by; to a reader they are 0."""


def places(width: float) -> int:
    """Decimal places that show two digits of `width`; negative places round to tens, hundreds, ..."""
    # The difference of two numbers 0.1 apart may come out a little less; that of two huge ones is infinite.
    return 1 - math.floor(math.log10(min(max(width, _TINIEST) * (1 + 1e-9), 1 / _TINIEST)))


def measured(value: float, width: float) -> str:
    """A measured number, with the digits that the width of its interval deserves; four of its own if that has none."""
    return _rounded(value, places(width)) if width > 0 else registered(value, 0.0)


def registered(value: float, margin: float) -> str:
    """A number written down beforehand: to a hundredth of its margin (without one, to four digits), no idle zeros."""
    decimals = places(margin) + 1 if margin > 0 else places(abs(value) or 1.0) + 2
    return _rounded(value, decimals, idle_zeros=False)


def p_value(p: float, alpha: float) -> str:
    """A p-value to two digits, or more where fewer would read as equal to the `alpha` it is compared with."""
    # Below a thousandth, or the power of ten below α, a p-value is only said to be small.
    least = 10.0 ** math.floor(math.log10(min(alpha, 0.005)))
    if p < least:
        return f"<{registered(least, 0.0)}"
    if p > 1 - least:
        return f">{1 - least:g}"
    decimals = places(p)
    # After five more digits the difference is of no interest to anybody.
    while float(f"{p:.{decimals}f}") == alpha != p and decimals < places(p) + 5:
        decimals += 1
    return f"{p:.{decimals}f}"


def duration(seconds: float) -> str:
    """A time span in the two units that matter."""
    if seconds < 59.95:
        return f"{seconds:.1f}{_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{_SPACE}min {rest}{_SPACE}s"
    return f"{minutes // 60}{_SPACE}h {minutes % 60}{_SPACE}min"


def size(number: int) -> str:
    """A number of bytes in the unit that gives it one to three digits before the point."""
    unit, name = pick_unit_and_suffix(number, ["bytes", "KiB", "MiB", "GiB", "TiB"], 1024)
    return f"{number / unit:.3g}{_SPACE}{name}"


def _rounded(value: float, decimals: int, *, idle_zeros: bool = True) -> str:
    """`value` rounded to `decimals` places; as a power of ten where that would take a long row of zeros."""
    if abs(value) < _TINIEST:
        return "0"
    power = math.floor(math.log10(abs(value)))
    # Five leading zeros, or seven digits before the point, are more than an eye counts.
    as_power = (power < -4 and decimals > 5) or power > 6
    exponent = power if as_power else 0
    # A float has no more than some fifteen digits to show; negative places round, but show none.
    decimals = min(decimals + exponent, 12)
    mantissa = round(value / 10.0**exponent, decimals)
    if not mantissa:
        # Zeros alone would say that it is none: its first digit says how small it is.
        return _rounded(value, -power, idle_zeros=idle_zeros)
    if as_power and abs(mantissa) >= 10:
        mantissa, exponent = mantissa / 10, exponent + 1
    text = f"{abs(mantissa):,.{max(decimals, 0)}f}"
    if not idle_zeros and "." in text:
        text = text.rstrip("0").rstrip(".")
    if as_power:
        text += f"{_THIN_SPACE}×{_THIN_SPACE}10{str(exponent).translate(_SUPERSCRIPTS)}"
    # Only here: what was rounded to zero has no sign.
    return f"{_MINUS}{text}" if mantissa < 0 else text
