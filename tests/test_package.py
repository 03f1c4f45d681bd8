"""Claims about `import find` itself."""

import find


def test_every_public_name_is_listed_and_loads():
    assert set(find.__all__) <= set(dir(find))
    assert all(getattr(find, name).__name__ == name for name in find.__all__)
