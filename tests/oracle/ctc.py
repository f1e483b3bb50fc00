"""CTC twice over, from its definition: every alignment written out, and the textbook recursions at 50 digits."""

import itertools
import math

import mpmath


def collapse(alignment, blank):
    """What an alignment stands for: repeats dropped, then blanks."""
    return [label for label, _ in itertools.groupby(alignment) if label != blank]


def by_enumeration(log_probs, labels, blank):
    """Loss and gradient of log_probs [T][C], over all C^T alignments."""
    frames, classes = len(log_probs), len(log_probs[0])
    total, used = 0.0, [[0.0] * classes for _ in range(frames)]
    for alignment in itertools.product(range(classes), repeat=frames):
        if collapse(alignment, blank) == labels:
            probability = math.exp(sum(log_probs[t][c] for t, c in enumerate(alignment)))
            total += probability
            for t, c in enumerate(alignment):
                used[t][c] += probability
    if total == 0:
        return math.inf, used
    return -math.log(total), [[-u / total for u in row] for row in used]


def at_50_digits(log_probs, labels, blank):
    """Loss and gradient of log_probs [T][C]: alpha and beta over the labels with blanks between (Graves et al., 2006).

    They are sums of products of probabilities as they stand, without logarithms or scaling.
    """
    with mpmath.workdps(50):
        y = [[mpmath.exp(mpmath.mpf(x)) for x in row] for row in log_probs]
        states = [blank]
        for label in labels:
            states += [label, blank]
        total, used = mpmath.mpf(0), [[mpmath.mpf(0)] * len(row) for row in y]
        if not y:
            return (mpmath.mpf(0) if not labels else mpmath.inf), used
        alpha = _prefixes(y, states, blank)
        beta = [row[::-1] for row in _prefixes(y[::-1], states[::-1], blank)][::-1]
        total = sum(alpha[-1][-2:], mpmath.mpf(0))
        if total == 0:
            return mpmath.inf, used
        for t, row in enumerate(y):
            for s, c in enumerate(states):
                if row[c] != 0:
                    used[t][c] -= alpha[t][s] * beta[t][s] / row[c] / total
        return -mpmath.log(total), used


def _prefixes(y, states, blank):
    """For each frame and state, the probability of all alignments' beginnings that end there."""
    rows = []
    for t, of_class in enumerate(y):
        row = []
        for s, c in enumerate(states):
            if t == 0:
                before = mpmath.mpf(1 if s < 2 else 0)
            else:
                may_skip = s >= 2 and c != blank and c != states[s - 2]
                before = sum((rows[-1][s - k] for k in range(3 if may_skip else 2) if s >= k), mpmath.mpf(0))
            row.append(before * of_class[c])
        rows.append(row)
    return rows
