"""The benchmark of how many examples an evaluation's statistics need, on the digits."""

import pytest

from benchmarks.evaluations import EXAMPLES, RATES, main
from ilr.training import metrics


def test_it_compares_statistics_of_few_examples_with_those_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    usual = metrics.EVALUATION_EXAMPLES
    assert main(["--scale=tiny", "--steps=14", "--seed=3"]) == 0
    blocks = capsys.readouterr().out.split("λₑ = ")[1:]
    assert len(blocks) == len(RATES)
    for block in blocks:
        first, between, *rows = block.splitlines()
        assert "with all 1,297 examples" in first
        assert between.endswith("of predictions are others")
        assert [int(row.split()[0].replace(",", "")) for row in rows] == list(EXAMPLES)
        # There are no 2,048: the statistics are those of all.
        assert rows[-1].endswith("0.00% of predictions are others; accuracy +0.0000, ± 0.0000 from network to network")
        assert " 0.00%" not in rows[0]
    assert usual == metrics.EVALUATION_EXAMPLES
