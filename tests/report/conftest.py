import pytest

from .runs import Book, full


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """A run with something of everything, to be read only."""
    return full(tmp_path_factory.mktemp("full"))
