"""A classifier two-sample test of face vectors (Lopez-Paz and Oquab, ICLR 2017).

A classifier learns to tell the reference's vectors from the present ones, and is asked about vectors that it has not
met. Where nothing but the people has changed it must not succeed, though every vector tells who it is. So it is asked
about people that it has not met either: vectors are put together by person, as far as they show that, and the folds of
the cross-validation are of whole people. What it can learn then is what happened to all of them alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.drift.two_samples import Compared

Vectors = NDArray[np.float32]
"""[n, dimensions]"""

_COMPONENTS = 32
_FOLDS = 5
_FEWEST = 4
"""Fewest people in either sample from which a classifier can learn about others."""
_PAIRS = 16
"""Fewest people in both samples that are compared with themselves: fewer cannot be significant."""
_PENALTY = 0.1
"""Inverse strength of the regularisation: the classifier has a few hundred examples."""


def embeddings(reference: Vectors, current: Vectors, same_person: float) -> Compared | None:
    """The area under the classifier's ROC curve, and its p-value; None where too few people are on either side.

    Where enough people are on both sides, each is compared with himself; or else everybody with everybody.

    Args:
        reference: vectors before.
        current: vectors now.
        same_person: Euclidean distance within which two vectors mostly show one person.
    """
    from scipy.stats import mannwhitneyu, wilcoxon
    from sklearn.metrics import roc_auc_score
    from threadpoolctl import threadpool_limits

    both = np.concatenate([reference, current])
    now = np.arange(len(both)) >= len(reference)
    person = people(both, same_person)
    before, after = _members(person, ~now), _members(person, now)
    if min(len(before), len(after)) < _FEWEST:
        return None
    # For so little, threads cost more than they do; where the machine is busy, ten times as much.
    with threadpool_limits(1):
        scores = _scores(both, now, person)
    # One value a person and sample: the faces of a person are no independent witnesses.
    means = [{one: float(scores[of].mean()) for one, of in some.items()} for some in (before, after)]
    met = sorted(before.keys() & after.keys())
    if len(met) < _PAIRS:
        p_value = mannwhitneyu([*means[1].values()], [*means[0].values()], alternative="greater").pvalue
        return float(roc_auc_score(now, scores)), float(p_value)
    for one in met:
        scores[person == one] -= (means[0][one] + means[1][one]) / 2
    known = np.isin(person, met)
    p_value = wilcoxon([means[1][one] - means[0][one] for one in met], alternative="greater").pvalue
    return float(roc_auc_score(now[known], scores[known])), float(p_value)


def _members(person: NDArray[np.int32], among: NDArray[np.bool_]) -> dict[int, NDArray[np.bool_]]:
    """The places [n] of the vectors of each person, for a part of the people."""
    return {int(one): among & (person == one) for one in np.unique(person[among])}


def people(vectors: Vectors, same_person: float) -> NDArray[np.int32]:
    """The number of the person on each [n], by average-linkage clustering."""
    from scipy.cluster.hierarchy import fcluster, linkage

    return np.asarray(fcluster(linkage(vectors, "average"), same_person, "distance"), np.int32)


def _scores(both: Vectors, now: NDArray[np.bool_], person: NDArray[np.int32]) -> NDArray[np.float64]:
    """The score [n] of each vector by a classifier that has not seen the person; high for the current sample."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    reduced = PCA(min(_COMPONENTS, *both.shape), svd_solver="covariance_eigh").fit_transform(both)
    # Poor pictures make shorter vectors, which no linear function of them tells.
    features = np.column_stack([reduced, np.linalg.norm(both, axis=1)])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=_PENALTY, class_weight="balanced"))
    folds = StratifiedGroupKFold(min(_FOLDS, len(np.unique(person))), shuffle=True, random_state=0)
    return np.asarray(
        cross_val_predict(classifier, features, now, groups=person, cv=folds, method="decision_function"), np.float64
    )
