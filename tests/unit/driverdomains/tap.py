# SPDX-License-Identifier: Apache-2.0
"""Runs the functions of a module whose names begin with test_ and prints one line of TAP for each."""

import sys
import traceback


def run(tests):
    """Exits with status 1 if one of them raised anything."""
    failed = False
    chosen = [name for name in tests if name.startswith("test_") and callable(tests[name])]
    for number, name in enumerate(chosen, 1):
        try:
            tests[name]()
            print(f"ok {number} - {name[5:]}", flush=True)
        except Exception:  # whatever it is, it is the test's result
            traceback.print_exc(file=sys.stdout)
            print(f"not ok {number} - {name[5:]}", flush=True)
            failed = True
    sys.exit(failed)
