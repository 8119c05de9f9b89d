"""--plan=json: the budget of a run for programs."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.claim_files import on_images, write_claim
from tests.conftest import LOADS_ILR, Run


def planned(pytester: pytest.Pytester, *arguments: str, status: int = 0) -> dict[str, Any]:
    """Everything on standard output is the plan."""
    claims = Path(pytester.path) / "claims"
    (claims / "conftest.py").write_text(LOADS_ILR)
    store = f"--store={pytester.path / 'store'}"
    result = pytester.runpytest_subprocess("claims", "--plan=json", "--workers=2", store, *arguments)
    assert result.ret == status
    plan: dict[str, Any] = json.loads(result.stdout.str())
    return plan


def test_it_is_all_there_is_on_standard_output(pytester: pytest.Pytester) -> None:
    claims = Path(pytester.path) / "claims"
    write_claim(claims, "first")
    write_claim(claims, "second", learning_rate=0.2)
    write_claim(claims, "elsewhere", replicas=None)
    on_images(write_claim(claims, "images"))
    plan = planned(pytester, "-v", "--seed=3")
    assert (plan["scale"], plan["seed"], plan["workers"]) == ("tiny", 3, 2)
    assert list(plan["claims"]) == ["first", "images", "second"]
    first = plan["claims"]["first"]
    # Six replicas of the claim and six of its control, 20 steps each.
    assert (first["experiments"], first["networks"], first["network_steps"]) == (2, 12, 240)
    assert plan["total"]["networks"] == sum(claim["networks"] for claim in plan["claims"].values())
    assert 0 < plan["expected_seconds"] <= plan["most_seconds"]
    assert set(plan["gpus"]["1"]) == set(first["gpu_seconds"]) == {"V100", "A100", "H100"}
    assert set(first["expected_gpu_seconds"]) == {"V100", "A100", "H100"}
    assert plan["arithmetic"] == "float32"
    assert plan["not_run"] == {"elsewhere": "does not run at scale tiny: only tiny is written"}
    assert plan["data_absent"] == ["mnist"]
    assert not (pytester.path / "reports").exists()


def test_a_claim_that_cannot_be_planned_fails_it(pytester: pytest.Pytester) -> None:
    path = write_claim(Path(pytester.path) / "claims", "broken")
    path.write_text(path.read_text().replace("steps=20", "steps=-20"))
    plan = planned(pytester, status=1)
    assert plan["errors"]["broken"].startswith("its experiments could not be planned")


def test_without_claims_there_is_an_empty_plan(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "first")
    result = run("--plan=json", "-k", "nothing")
    plan = json.loads(result.stdout.str())
    assert (plan["claims"], plan["most_seconds"]) == ({}, 0.0)


@pytest.mark.parametrize("order", [["--plan", "claims"], ["claims", "--plan"]])
def test_the_plan_for_people_takes_no_folder_for_a_format(pytester: pytest.Pytester, order: list[str]) -> None:
    write_claim(Path(pytester.path) / "claims", "first")
    result = pytester.runpytest_inprocess("-p", "ilr.plugin", *order, f"--store={pytester.path / 'store'}")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["Cost of --scale=tiny:"])


def test_both_plans_contradict_each_other(run: Run, pytester: pytest.Pytester) -> None:
    write_claim(pytester.path / "claims", "first")
    result = run("--plan", "--plan=json")
    result.stderr.fnmatch_lines(["ERROR: --plan and --plan=json contradict each other: give one of them"])
