"""A classifier two-sample test of face vectors (Lopez-Paz and Oquab, ICLR 2017).

A classifier learns to tell reference vectors from current ones, and is tested on vectors that it has not seen. It must
not succeed if only the people have changed, although every vector reveals who it shows. So it is also tested on people
whom it has not seen: vectors are clustered by person, and each fold of the cross-validation holds whole people. Then
the classifier can learn only changes that affect everybody alike.
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
"""Fewest people in each sample: from fewer, a classifier cannot generalise to others."""
_PAIRS = 16
"""Fewest people who are in both samples for a paired test; with fewer, it could not be significant."""
_PENALTY = 0.1
"""Inverse strength of the regularisation, which is strong because there are only a few hundred examples."""


def embeddings(reference: Vectors, current: Vectors, same_person: float) -> Compared | None:
    """The classifier's ROC AUC and its p-value; None if a sample has too few people.

    If enough people are in both samples, each is compared with himself (Wilcoxon); otherwise everybody with everybody
    (Mann-Whitney).

    Args:
        reference: vectors [n, dimensions] of the reference.
        current: vectors [m, dimensions] of the current sample.
        same_person: Euclidean distance below which two vectors mostly show one person.
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
    # With so little data, threads cost more than they gain: ten times as much on a busy machine.
    with threadpool_limits(1):
        scores = _scores(both, now, person)
    # One value per person and sample, because the faces of one person are not independent.
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
    """By person, a mask [n] of the person's vectors among the given ones; only people who have some."""
    return {int(one): among & (person == one) for one in np.unique(person[among])}


def people(vectors: Vectors, same_person: float) -> NDArray[np.int32]:
    """The number of the person in each vector [n], found by average-linkage clustering."""
    from scipy.cluster.hierarchy import fcluster, linkage

    return np.asarray(fcluster(linkage(vectors, "average"), same_person, "distance"), np.int32)


def _scores(both: Vectors, now: NDArray[np.bool_], person: NDArray[np.int32]) -> NDArray[np.float64]:
    """The score [n] of each vector, by a classifier that has not seen its person; high means the current sample."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    reduced = PCA(min(_COMPONENTS, *both.shape), svd_solver="covariance_eigh").fit_transform(both)
    # Poor pictures give shorter vectors, and the length is not a linear function of the components.
    features = np.column_stack([reduced, np.linalg.norm(both, axis=1)])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=_PENALTY, class_weight="balanced"))
    folds = StratifiedGroupKFold(min(_FOLDS, len(np.unique(person))), shuffle=True, random_state=0)
    return np.asarray(
        cross_val_predict(classifier, features, now, groups=person, cv=folds, method="decision_function"), np.float64
    )
