"""95% intervals by bootstrap, paired, over the originals that images were made from. No torch here."""

import numpy as np
import numpy.typing as npt

DRAWS = 4000
Interval = tuple[float, float]


def mean_interval(values: npt.NDArray[np.floating], groups: npt.NDArray[np.integer], seed: int = 0) -> Interval:
    """95% percentile interval of the mean of `values` [N]; images of one group are drawn together.

    Images made from one original are not independent: drawing originals (the cluster bootstrap, Davison and Hinkley
    1997, section 3.8) keeps the interval honest.
    """
    _, place = np.unique(groups, return_inverse=True)
    counts = np.bincount(place)
    sums = np.bincount(place, weights=values)
    rng = np.random.default_rng(seed)
    n = len(counts)
    means = np.empty(DRAWS)
    for draw in range(DRAWS):
        times = np.bincount(rng.integers(0, n, n), minlength=n)
        means[draw] = times @ sums / (times @ counts)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def difference_error(
    correct: npt.NDArray[np.bool_], baseline: npt.NDArray[np.bool_], groups: npt.NDArray[np.integer]
) -> float:
    """Standard error of the accuracy of `correct` less that of `baseline`, both [N] on the same images.

    Of a ratio of sums over groups (Cochran, Sampling Techniques, 1977, section 9A.3): images of one group are drawn
    together. 0 for a single group.
    """
    difference = correct.astype(np.float64) - baseline.astype(np.float64)
    _, place = np.unique(groups, return_inverse=True)
    counts = np.bincount(place)
    if len(counts) < 2:
        return 0.0
    left = np.bincount(place, weights=difference) - difference.mean() * counts
    return float(np.sqrt((left**2).sum() * len(counts) / (len(counts) - 1)) / len(difference))


def difference_interval(
    correct: npt.NDArray[np.bool_], baseline: npt.NDArray[np.bool_], groups: npt.NDArray[np.integer], seed: int = 0
) -> Interval:
    """95% interval of the accuracy of `correct` less that of `baseline`, both [N] on the same images."""
    return mean_interval(correct.astype(np.float64) - baseline.astype(np.float64), groups, seed)
