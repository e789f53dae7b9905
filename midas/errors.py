"""The one kind of failure a user is meant to read."""


class MidasError(Exception):
    """Something a user can put right: one line saying what is wrong, with which file, and the way out.

    The command line prints it without a traceback and exits with status 1.
    """
