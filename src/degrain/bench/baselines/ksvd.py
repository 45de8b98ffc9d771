"""K-SVD with a dictionary learned on the noisy picture itself; told σ; slow.

Source: Elad & Aharon, IEEE TIP 15(12), 2006: 8×8 patches, 256 atoms that begin as an overcomplete
DCT, 10 rounds, error bound C = 1.15 (Eq. 8-9), weight of the noisy picture λ = 30 / σ_255 (Eq. 11).
Patches are coded without their mean, as in the authors' program. The dictionary learns from at
most 40,000 of the patches, evenly spread, instead of all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from degrain.bench.baselines.patches import coverage, patch_method, patches_of, summed
from degrain.bench.methods import Floats, Method

SIDE, ATOMS, ROUNDS, BOUND, MOST = 8, 256, 10, 1.15, 40_000
CHUNK = 20_000


def make(*, gray: bool, threads: int | None = None) -> Method:
    """K-SVD for gray pictures.

    Raises:
        UsageError: color.
    """
    return patch_method("ksvd", ksvd, SIDE, gray=gray)


def ksvd(noisy: Floats, sigma: float) -> Floats:
    """Learn the dictionary, code every patch, average (Eq. 10 and 11)."""
    patches = patches_of(noisy, SIDE)
    means = patches.mean(axis=1, keepdims=True)
    patches -= means
    bound = SIDE**2 * (BOUND * sigma) ** 2
    dictionary = dct_atoms()
    sample = patches[:: -(-len(patches) // MOST)]
    for _ in range(ROUNDS):
        dictionary = _improve(dictionary, sample, _code(sample, dictionary, bound))
    for start in range(0, len(patches), CHUNK):
        part = slice(start, start + CHUNK)
        patches[part] = _code(patches[part], dictionary, bound) @ dictionary
    total = summed(patches + means, noisy.shape, SIDE)
    weight = 30 / (255 * sigma)
    clean = (weight * noisy + total) / (weight + coverage(noisy.shape, SIDE))
    return np.asarray(clean, dtype=np.float32)


def dct_atoms() -> Floats:
    """The overcomplete DCT without its constant atom: (ATOMS − 1)×64, rows of norm 1."""
    along = round(ATOMS**0.5)
    waves = np.cos(np.outer(np.arange(along), np.arange(SIDE)) * np.pi / along)
    waves[1:] -= waves[1:].mean(axis=1, keepdims=True)
    atoms = np.kron(waves, waves)[1:]
    unit: Floats = (atoms / np.linalg.norm(atoms, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _code(patches: Floats, dictionary: Floats, bound: float) -> Floats:
    """Orthogonal matching pursuit down to the error bound, all patches at once: N×K codes."""
    codes = np.zeros((len(patches), len(dictionary)), np.float32)
    active = np.flatnonzero((patches**2).sum(axis=1) > bound)
    chosen = np.zeros((len(active), 0), np.intp)
    residual = patches[active]
    while len(active) and chosen.shape[1] < SIDE**2 // 2:
        match = np.abs(residual @ dictionary.T)
        np.put_along_axis(match, chosen, -1, axis=1)
        chosen = np.concatenate([chosen, match.argmax(axis=1)[:, None]], axis=1)
        weights = _least_squares(patches[active], dictionary[chosen])
        codes[active] = 0
        codes[active[:, None], chosen] = weights
        residual = patches[active] - np.einsum("nk,nkd->nd", weights, dictionary[chosen])
        rest = (residual**2).sum(axis=1) > bound
        active, chosen, residual = active[rest], chosen[rest], residual[rest]
    return codes


def _least_squares(patches: Floats, atoms: Floats) -> Floats:
    """Weights of each patch's own atoms (N×k×64) that fit it best: N×k."""
    gram = atoms @ atoms.transpose(0, 2, 1)
    gram += 1e-6 * np.eye(gram.shape[1], dtype=np.float32)  # atoms may nearly agree
    right = atoms @ patches[:, :, None]
    return np.asarray(np.linalg.solve(gram, right)[:, :, 0], dtype=np.float32)


def _improve(dictionary: Floats, patches: Floats, codes: Floats) -> Floats:
    """One K-SVD sweep: each atom and its weights become the best rank-1 fit (Sec. III-B)."""
    dictionary = dictionary.copy()
    users: NDArray[np.intp]
    for k in range(len(dictionary)):
        users = np.flatnonzero(codes[:, k])
        if len(users) == 0:
            continue
        weights = codes[users]
        left = patches[users] - weights @ dictionary + weights[:, k, None] * dictionary[k]
        # one power step from the present atom stands for the SVD (Rubinstein et al., 2008)
        atom = left.T @ codes[users, k]
        dictionary[k] = atom / max(float(np.linalg.norm(atom)), 1e-12)
        codes[users, k] = left @ dictionary[k]
    return dictionary
