"""What the checks of both Python clients have in common."""

import random
import re
import sys


def content(seed, length):
    return random.Random(seed).randbytes(length)


def same(found, expected, what):
    if found != expected:
        raise AssertionError(f"{what}: {len(found)} bytes, {len(expected)} expected")


def refused(errno, error, what, call, *args):
    """That a call ends in an error that names a number of the system."""
    try:
        call(*args)
    except error as told:
        if re.search(rf"Error: ?{errno}\b", str(told)):
            return
        raise AssertionError(f"{what}: {told}") from told
    raise AssertionError(f"{what} is not refused")


def run(checks):
    """Runs the checks, functions by what they check, and ends the program."""
    has_failed = False
    for what, check in checks.items():
        try:
            check()
            print(what, "ok", flush=True)
        except Exception as error:  # Whatever it is, it is told and the others go on.
            has_failed = True
            print(f"{what} FAILED: {error!r}", flush=True)
    sys.exit(has_failed)
