"""Random streams, keyed by (root seed, replica, stream) and never by a position in a batch of replicas.

So a replica is the same network trained on the same batches, alone or in any chunk, at any time.
"""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a random stream is for. Values are part of the key: never renumber."""

    INITIALISATION = 0
    HEAD = 1
    BATCH_ORDER = 2
    PROBE = 3
    AUGMENTATION = 4
    GRADIENT_NOISE = 5


def generator(root_seed: int, replica: int, stream: Stream, *keys: int) -> np.random.Generator:
    """The generator of one replica's stream.

    Args:
        root_seed: of the experiment.
        replica: its id.
        stream: what the numbers are for.
        keys: such as an epoch; they open independent streams below the replica's.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((root_seed, replica, int(stream), *keys))))
