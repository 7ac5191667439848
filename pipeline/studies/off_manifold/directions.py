"""Directions at a point of a cloud: along what its neighbours span, and across."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS = 10
SPANNED = 0.9  # of the squared differences to the neighbours, that the directions along them make up
EACH = 4  # directions of a kind at a point
LEAST_ACROSS = 2  # directions that have to be left when those of the neighbours are taken away


def steps_at(places: np.ndarray, points: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps along what the neighbours of a point span, and across, all of one length at a point.

    Along: random combinations of the differences to the `NEIGHBOURS` nearest other places, as far as they lie in the
    leading directions that make up `SPANNED` of the squared differences. Across: random unit vectors of the space that
    all places together span, less those leading directions. The length is half the distance to the nearest neighbour.

    Parameters
    ----------
    places : ndarray of shape (n, d)
        All training rows.
    points : ndarray of shape (m,)
        Numbers of the rows at which steps are made.

    Returns
    -------
    along, across : ndarray of shape (m, EACH, d)
    """
    rng = np.random.default_rng(seed)
    unique, where = np.unique(places, axis=0, return_inverse=True)  # a row that stands twice is no neighbour of itself
    count = min(NEIGHBOURS, len(unique) - 1)
    distances, nearest = NearestNeighbors(n_neighbors=count + 1).fit(unique).kneighbors(places[points])
    spread = np.linalg.svd(unique - unique.mean(axis=0), full_matrices=False)
    support = spread[2][spread[1] > 1e-6 * spread[1][0]]  # directions in which the places differ at all
    along, across = [], []
    for point, near, far in zip(np.ravel(where)[points], nearest, distances, strict=True):
        own = [place for place in near if place != point][:count]
        differences = unique[own] - unique[point]
        length = 0.5 * float(min(one for one in far if one > 0))
        _, sizes, vectors = np.linalg.svd(differences, full_matrices=False)
        shares = np.cumsum(sizes**2) / np.sum(sizes**2)
        basis = vectors[: int(np.searchsorted(shares, SPANNED)) + 1]
        along.append(length * unit(rng.normal(size=(EACH, len(own))) @ differences @ basis.T @ basis))
        drawn = rng.normal(size=(EACH, len(support))) @ support
        across.append(length * unit(drawn - drawn @ basis.T @ basis))
    return np.stack(along), np.stack(across)


def room_across(places: np.ndarray) -> int:
    """How many directions are left when those of the neighbours of a place are taken away."""
    return int(np.linalg.matrix_rank(places - places.mean(axis=0), tol=1e-6)) - NEIGHBOURS


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length one. Shape (..., d)."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
