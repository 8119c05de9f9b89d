"""What became of a claim so far: `history/<id>.toml` beside the claim's file, read as `ilr.report.evidence.History`."""

from pathlib import Path

import msgspec

from ilr.report.evidence import History
from ilr.trials.claim import ClaimFileError


def history_of(claim_id: str, folder: Path) -> History:
    """The history of a claim in a folder of claims; empty where no file tells of it.

    Raises:
        ClaimFileError: the file holds something else; one line that names file and field.
    """
    path = folder / "history" / f"{claim_id}.toml"
    try:
        return msgspec.toml.decode(path.read_bytes(), type=History)
    except FileNotFoundError:
        return History()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ClaimFileError(f"{path}: {error}") from None
