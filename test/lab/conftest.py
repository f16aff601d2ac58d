import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
import lab as labs  # noqa: E402


def pytest_configure(config):
    labs.clean_all()


@pytest.fixture(scope="module")
def lab(request):
    """One cluster a test file: `NODES`, `OPTIONS` and `IMAGES` of the module say how."""
    module = request.module
    with labs.Lab(nodes=getattr(module, "NODES", 1), options=getattr(module, "OPTIONS", ()), images=getattr(module, "IMAGES", ("busybox", "hello"))) as running:
        yield running
