"""Looking into objects and dicts that promise nothing."""

from collections.abc import Iterator, Mapping


def part(value: object, *names: str) -> object:
    """Give what stands under names, one below the other; `None` where anything is missing."""
    for name in names:
        if value is None:
            return None
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return value


def count(value: object, *names: str) -> int:
    """Give a number that stands there, or 0."""
    found = part(value, *names)
    return found if isinstance(found, int) and found > 0 else 0


def text(value: object, *names: str) -> str | None:
    """Give a text that stands there and is not empty; of an enumeration its value."""
    found = part(value, *names)
    found = getattr(found, "value", found)
    return found if isinstance(found, str) and found else None


def each(value: object, *names: str) -> Iterator[object]:
    """Go through a list that stands there."""
    found = part(value, *names)
    if isinstance(found, (list, tuple)):
        yield from found


def size(*texts: object) -> int:
    """Count the bytes in UTF-8 of those that are text."""
    return sum(len(one.encode("utf-8", "surrogatepass")) for one in texts if isinstance(one, str))
