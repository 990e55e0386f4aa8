"""SciPy's distributions and rank test behind typed functions: the one module here that touches an untyped library.

`scipy.stats` takes most of a second to import, so it is imported by the one function that needs it.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false
# SciPy ships no types.

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from scipy import special

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def normal_cdf(z: float) -> float:
    """The standard normal distribution function."""
    return float(special.ndtr(z))


def normal_quantile(p: float) -> float:
    """The z below which a share `p` of the standard normal distribution lies."""
    return float(special.ndtri(p))


def t_quantile(p: float, *, degrees: float) -> float:
    """The quantile of Student's t distribution with `degrees` of freedom."""
    return float(special.stdtrit(degrees, p))


def binomial_cdf(k: int, *, n: int, p: float = 0.5) -> float:
    """The probability of at most `k` successes in `n` trials."""
    return float(special.bdtr(k, n, p))


def wilcoxon_p(
    differences: npt.NDArray[np.float64], *, alternative: Literal["two-sided", "greater", "less"] = "two-sided"
) -> float:
    """The p-value of the signed-rank test of symmetry around 0; zeros are dropped (Wilcoxon 1945). None left: 1.

    Exact for up to 50 differences without ties, by permutation for up to 13 with ties, else the normal approximation.
    """
    from scipy import stats  # noqa: PLC0415  (takes most of a second)

    left = differences[differences != 0]
    if not left.size:
        return 1.0
    return float(stats.wilcoxon(left, alternative=alternative).pvalue)  # pyright: ignore[reportAttributeAccessIssue]
