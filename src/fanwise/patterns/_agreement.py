"""When votes agree enough: the stopping rule of adaptive consistency.

Problem: after some votes, is it worth while to ask for more?
Algorithm: Aggarwal, Madaan, Yang and Mausam, "Let's Sample Step by Step" (EMNLP 2023), Beta rule:
of the two answers with most votes, v and w of them, the leader's share p of those who choose
between the two is Beta(v + 1, w + 1) after a uniform prior; stop where P(p > 1/2) reaches a
threshold. For whole numbers that is a binomial sum, with n = v + w + 1:
P(p > 1/2) = sum(C(n, j) for j = 0..v) / 2^n, and since C(n, j) = C(n, n - j) only the v - w terms
of the lead are added: 1/2 + sum(C(n, j) for j = w + 1..v) / 2^(n + 1).
Cost: v - w products of whole numbers, compared exactly: no rounding decides.
Rejected: numerical integration (the authors' code; needs SciPy and rounds), and their Dirichlet
rule over all answers, which they found no better and far slower.
"""

from __future__ import annotations

from math import comb


def agreed(leader: int, runner_up: int, stop_at: float) -> bool:
    """Say whether the leader, with so many votes, stays ahead with probability `stop_at`.

    It says nothing of whether the leader is right.
    """
    size = leader + runner_up + 1
    term = comb(size, leader)
    lead = 0
    for j in range(leader, runner_up, -1):
        lead += term
        term = term * j // (size - j + 1)
    part, whole = stop_at.as_integer_ratio()
    return ((1 << size) + lead) * whole >= part << (size + 1)
