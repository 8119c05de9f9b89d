"""The mode of --plan=json: a run's budget for programs, as one JSON object on standard output."""

import json
from typing import Any

from rich.console import Console

from ilr.dryrun.budget import ClaimCost
from ilr.dryrun.planning import GPU_COUNTS, Planning
from ilr.lab.gpus import GPUS


class PlanningAsJson(Planning):
    """Says what a run would cost, and runs nothing."""

    def prepare(self, console: Console) -> int:
        """Prints the budget, and gives the number of claims that cannot be planned."""
        claims = self.selection.claims.values()
        errors = {claim.id: claim.planned.error for claim in claims if claim.planned.error}
        # Not rich's own print, which would wrap lines and colour them.
        console.file.write(json.dumps(self._plan(errors), indent=1) + "\n")
        return len(errors)

    def _plan(self, errors: dict[str, str]) -> dict[str, Any]:
        """Times in seconds, sizes in bytes."""
        budget, options = self.budget, self.selection.options
        claims = self.selection.claims.values()
        return {
            "scale": options.scale,
            "literal": [claim.id for claim in claims if claim.trial.literal],
            "seed": options.seed,
            "device": budget.lab.device,
            "arithmetic": options.arithmetic,
            "workers": budget.workers,
            "recordings_in_store": budget.training.stored,
            "expected_seconds": budget.expected_seconds,
            "most_seconds": budget.seconds,
            "total": self._cost(budget.total),
            "claims": {claim.id: self._cost(claim) for claim in budget.claims},
            "gpus": {str(gpus): {gpu.name: budget.on_gpus(gpu, gpus) for gpu in GPUS} for gpus in GPU_COUNTS},
            "not_run": {claim.id: claim.planned.not_run for claim in claims if claim.planned.not_run},
            "errors": errors,
            "data_absent": budget.absent,
        }

    def _cost(self, cost: ClaimCost) -> dict[str, Any]:
        """What one claim takes, if its last look is taken, and what is expected."""
        return {
            "experiments": cost.experiments,
            "shared_experiments": cost.shared,
            "expected_networks": cost.expected_networks,
            "networks": cost.networks,
            "network_steps": round(sum(one.steps for one in cost.slices)),
            "operations": sum(one.operations for one in cost.slices),
            "memory_bytes": max((one.memory for one in cost.slices), default=0),
            "disk_bytes": sum(one.disk for one in cost.slices),
            "expected_seconds": cost.here.expected / self.budget.workers,
            "most_seconds": cost.here.most / self.budget.workers,
            "gpu_seconds": {gpu.name: cost.on_gpu(gpu).most for gpu in GPUS},
            "expected_gpu_seconds": {gpu.name: cost.on_gpu(gpu).expected for gpu in GPUS},
        }
