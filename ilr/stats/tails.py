"""How heavy the tails of samples are: estimators of a tail index, for the noise of gradients.

The index α of a stable distribution is 2 where it is normal, and below 2 where its variance is infinite; its tails then
fall as x^(−α). Both estimators give α for samples of stable distributions. For other distributions they answer two
questions: whether sums of so many samples spread as those of a stable one do, and how fast the largest samples fall.
"""

import numpy as np
from numpy.typing import ArrayLike

from ilr.stats.rule import Floats


def stable_index(samples: ArrayLike, block: int) -> Floats:
    """α of a symmetric stable distribution, by how much wider sums are than samples: [...].

    The sum of K samples is K^(1/α) times as wide as one; the logarithms' means tell by how much, and exist for every α
    (Mohammadi, Mohammadpour & Ogata 2015; the estimator of Simsekli et al. 2019). It takes a stable distribution for
    granted: samples of finite variance that are no normal ones get less than 2, and the less the shorter the blocks,
    and so do normal samples of several variances thrown together.

    Args:
        samples: independent and centred, none of them 0, [..., sample].
        block: samples in a sum, 2 or more; what is left over is not used.

    Raises:
        ValueError: there is no whole block, or a sample is 0 or not finite.
    """
    values = np.asarray(samples, np.float64)
    blocks = values.shape[-1] // block if block > 1 else 0
    if not blocks:
        raise ValueError(f"blocks of {block} cannot be made of {values.shape[-1]} samples")
    if not (np.isfinite(values) & (values != 0)).all():
        raise ValueError("a tail index needs samples that are finite and not 0")
    whole = values[..., : blocks * block]
    sums = whole.reshape(*values.shape[:-1], blocks, block).sum(axis=-1)  # [..., block]
    wider = np.log(np.abs(sums)).mean(axis=-1) - np.log(np.abs(whole)).mean(axis=-1)
    index: Floats = np.log(block) / wider
    return index


def hill_index(samples: ArrayLike, share: float) -> Floats:
    """α of tails that fall as x^(−α), from the largest sizes alone: [...].

    The logarithms of what lies above a threshold, over it, are exponential with the mean 1/α (Hill 1975). It takes a
    power law for granted beyond the threshold; where tails fall faster it grows as the share gets smaller. Above 2 the
    variance is finite.

    Args:
        samples: centred, [..., sample].
        share: of the samples, those of the largest sizes that are used.

    Raises:
        ValueError: fewer than 2 samples are used, or the threshold is 0.
    """
    sizes = np.sort(np.abs(np.asarray(samples, np.float64)), axis=-1)[..., ::-1]
    used = int(share * sizes.shape[-1])
    if not 2 <= used < sizes.shape[-1]:
        raise ValueError(f"a share of {share:g} of {sizes.shape[-1]} samples is {used}: take at least 2, but not all")
    threshold = sizes[..., used : used + 1]
    if not (threshold > 0).all():
        raise ValueError("a tail index needs a threshold above 0: more samples are 0")
    index: Floats = 1 / np.log(sizes[..., :used] / threshold).mean(axis=-1)
    return index
