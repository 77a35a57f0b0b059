"""An answer that broke off or cannot be read."""


class BrokenAnswer(ConnectionError):
    """The answer broke off, or is not what the protocol says; it may pass and is retried.

    What a model wrote and what does not fit the type asked for is another thing: `MalformedAnswer`.
    """
