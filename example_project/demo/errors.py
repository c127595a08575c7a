"""What stops the demo."""


class DemoError(Exception):
    """Something is not as it should be; the message says what."""
