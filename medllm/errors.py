"""The one exception that is shown to users as a single line."""


class UserError(Exception):
    """Bad input. The message says what was wrong, where (file, line, key) and what to do; it is printed without traceback."""
