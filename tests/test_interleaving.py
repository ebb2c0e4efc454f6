"""State of the process is brought back after the last of those that changed it."""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from sknnopt._interleaving import bring_back, remember

assert np  # which brings a BLAS library


class User:
    """Someone that changes the state for a while."""


@pytest.fixture(autouse=True)
def filters():
    """Give each test filters of its own."""
    with warnings.catch_warnings():
        yield


def test_contents_and_identity_of_the_filters():
    """A list that was emptied in place, or replaced, is there again and as it was."""
    user, before, copies = User(), warnings.filters, list(warnings.filters)
    remember(user)
    warnings.resetwarnings()
    warnings.filters = []
    bring_back(user)
    assert warnings.filters is before
    assert list(warnings.filters) == copies


def test_the_last_user_brings_back():
    """While another user is there, nothing changes; what the first found counts."""
    first, second, before = User(), User(), warnings.filters
    remember(first)
    warnings.filters = changed = [*before]
    remember(second)
    bring_back(first)
    assert warnings.filters is changed
    bring_back(second)
    assert warnings.filters is before


def test_a_lost_user_is_not_waited_for():
    """One that vanished without bringing back does not keep others from it."""
    lost, user, before = User(), User(), warnings.filters
    remember(lost)
    remember(user)
    del lost
    gc.collect()
    warnings.filters = [*before]
    bring_back(user)
    assert warnings.filters is before


def test_brought_back_twice():
    """Nothing happens to the state when someone brings it back once more."""
    user = User()
    remember(user)
    bring_back(user)
    warnings.filters = changed = [*warnings.filters]
    bring_back(user)
    assert warnings.filters is changed


def test_threads_of_blas():
    """A limit that was set and left behind is lifted."""

    def numbers():
        return [pool["num_threads"] for pool in threadpool_info()]

    user = User()
    with threadpool_limits(2):
        before = numbers()
        remember(user)
        threadpool_limits(1)
        assert numbers() != before
        bring_back(user)
        assert numbers() == before
