"""Options that are a name and settings in one word: `NAME,a=1,b=2`."""

from collections.abc import Collection


def settings_of(
    option: str, text: str, known: Collection[str]
) -> tuple[str | None, dict[str, str]]:
    """Take `NAME,a=1,b=2` apart; the name may be left out. Raises ValueError for what is none."""
    name: str | None = None
    settings: dict[str, str] = {}
    for place, part in enumerate(each.strip() for each in text.split(",")):
        key, sign, value = part.partition("=")
        if not sign and place == 0 and part:
            name = part
        elif not sign or key not in known:
            names = ", ".join(f"{each}=" for each in known)
            raise ValueError(f"{option} {text!r}: {part!r} is none of {names}")
        else:
            settings[key] = value
    return name, settings


def number_of(option: str, key: str, value: str) -> float:
    """Give a setting's number; raise ValueError, naming it, where it is none."""
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{option}: {key}={value!r} is no number") from None
