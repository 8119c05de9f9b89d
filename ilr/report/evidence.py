"""The contract of evidence.json as types, which other tools read too: what a run found, as plain data."""

import datetime

import msgspec

from ilr.stats.decision import Verdict


class Attempt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One time that a claim was judged, whatever came out."""

    date: datetime.date
    scale: str
    seed: int
    commit: str
    """Of the claims; empty where it is not known."""
    verdict: Verdict
    regime: str
    """What was trained, in words."""
    note: str = ""


class Regime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A net, data, rates or number of replicas that was tried, and why it was kept or left."""

    scale: str
    tried: str
    """What was trained, in words."""
    found: str
    seeds: str = ""
    """Exploratory seeds, on which nothing was ever judged; empty where they are not known."""


class History(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of a claim so far: `claims/history/<id>.toml`, appended to and never edited."""

    attempts: tuple[Attempt, ...] = ()
    """Oldest first."""
    regimes: tuple[Regime, ...] = ()
    notes: tuple[str, ...] = ()
    """What earlier reports found, and what is believed of it."""
