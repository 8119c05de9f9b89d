"""The selected claims with all their experiments, and a lab for them: what a run, a plan and a rehearsal begin with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import torch

from ilr.experiments.experiment import LOW, Experiment
from ilr.lab.engines import Engine, InProcess, Processes, Request, Slurm
from ilr.lab.hardware import default_device, gpus
from ilr.lab.limits import cpu_cores
from ilr.lab.scheduler import Lab
from ilr.lab.store import Store
from ilr.nn.arithmetic import refused
from ilr.session.options import BadOptionError, Options
from ilr.trials.claim import ClaimFileError
from ilr.trials.claim_file import ClaimFile
from ilr.trials.outcome import PlannedExperiments
from ilr.trials.sequential import SequentialTrial

SLURM_TASKS = 16
"""Tasks at once, unless an option says otherwise."""


@dataclass(frozen=True)
class SelectedClaim:
    """A claim's file, and its trial as the options make it."""

    file: ClaimFile
    trial: SequentialTrial

    @property
    def id(self) -> str:
        """The claim's id."""
        return self.file.claim.id

    @property
    def planned(self) -> PlannedExperiments:
        """What it trains at most: the experiments of the last look there may be."""
        return self.trial.largest


@dataclass(frozen=True)
class Selection:
    """What one run is of: its options, the folder of the claims, and the claims by the ids of their tests."""

    options: Options
    root: Path
    claims: Mapping[str, SelectedClaim]
    broken: Mapping[str, str] = field(default_factory=dict)
    """By the ids of their tests, why the files of other claims cannot be tried; a line each."""

    @property
    def literal(self) -> str:
        """With --literal, which claims train for the paper's lengths, in a line."""
        longer = [claim.id for claim in self.claims.values() if claim.trial.literal]
        return f"--literal: the paper's lengths for {', '.join(longer) or 'no claim'}; the others train as ever."

    @classmethod
    def of(cls, options: Options, root: Path, modules: Mapping[str, ModuleType]) -> "Selection":
        """The claims in some modules, planned as the options say.

        Args:
            options: of the command line.
            root: folder of the claims, for the report's place and provenance.
            modules: the claims' files, by the ids of the tests that judge them.

        Raises:
            ClaimFileError: no file keeps the rules, or two tests judge claims of one id.
            BadOptionError: a record that was chosen in place of the claims' own is wrong, and fits none of them.
        """
        claims: dict[str, SelectedClaim] = {}
        broken: dict[str, str] = {}
        tests: dict[str, str] = {}
        for name, module in modules.items():
            try:
                file = ClaimFile.of(module)
            except ClaimFileError as error:
                broken[name] = str(error)
                continue
            first = tests.setdefault(file.claim.id, name)
            if first != name:
                raise ClaimFileError(f"two tests judge a claim called {file.claim.id!r}: {first} and {name}")
            trial = SequentialTrial.of(
                file,
                options.scale,
                options.seed,
                options.replicas,
                arithmetic=options.arithmetic,
                literal=options.literal,
                variation=options.variation,
            )
            claims[name] = SelectedClaim(file, trial)
        if broken and not claims:
            raise ClaimFileError(next(iter(broken.values())))
        planned = [claim.planned for claim in claims.values()]
        wrong = [one.wrong for one in planned if one.wrong]
        # One that some net takes is not wrong as such: what it does not fit is NOT RUN.
        if wrong and not any(one.all() for one in planned):
            raise BadOptionError(f"{options.variation}: {wrong[0]}")
        return cls(options, root, claims, broken)

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """Every experiment of the last looks once, in order of appearance."""
        return tuple(dict.fromkeys(experiment for claim in self.claims.values() for experiment in claim.planned.all()))


def lab_for(options: Options, store: Path, *, stand_in: bool = False) -> Lab:
    """The lab that the options ask for; see `ilr.lab.scheduler.Lab` for the other arguments.

    Raises:
        BadOptionError: what would train does not have the arithmetic that they ask for.
    """
    if options.engine == "slurm":
        # What this machine has says nothing of the nodes.
        device, workers = "cuda" if options.slurm_gpus else "cpu", options.workers or SLURM_TASKS
        engine: Engine = Slurm(workers, store.resolve(), _request(options))
    else:
        # Two cores suffice for tiny, and its reference report is theirs; what a GPU makes of it, it is asked for.
        device = options.device or ("cpu" if options.scale == "tiny" else default_device())
        workers = options.workers or gpus(device) or cpu_cores()
        engine = Processes(workers) if options.engine == "processes" else InProcess()
    _check_arithmetic(options, device)
    return Lab(
        Store(store),
        engine,
        device,
        options.data_root,
        refresh=options.refresh,
        stand_in=stand_in,
        frozen=options.no_train,
    )


def _check_arithmetic(options: Options, device: str) -> None:
    """Refuses products that the device does not make; a plan is made on any."""
    if options.arithmetic not in LOW or options.plan or options.plan_json:
        return
    if device == "cpu":
        raise BadOptionError(
            f"--arithmetic={options.arithmetic}: is how GPUs multiply, and this run would train on the CPU: "
            "give --device=cuda where there is one"
        )
    # What nodes of a cluster have, they find out themselves.
    if options.engine != "slurm" and (reason := refused(options.arithmetic, torch.device(device))):
        raise BadOptionError(f"--arithmetic={options.arithmetic}: {reason}")


def _request(options: Options) -> Request:
    """What the options ask of Slurm."""
    return Request(
        partition=options.slurm_partition,
        account=options.slurm_account,
        minutes=options.slurm_time,
        gpus=options.slurm_gpus,
        more=options.slurm_option,
        python=options.slurm_python,
    )
