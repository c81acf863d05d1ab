"""Runs one function after another of a file beside this one, each timed, as the other process asks on standard input.

Runs in the environment of the peers and imports nothing of this project. A line in is `[function, [arguments]]`, a line
out is `[CPU seconds, result]`, both JSON.
"""

import importlib
import json
import sys
import time


def main() -> None:
    """Serve until standard input ends. What a library prints goes to standard error."""
    answers, sys.stdout = sys.stdout, sys.stderr
    module = importlib.import_module(sys.argv[1])
    for line in sys.stdin:
        name, arguments = json.loads(line)
        began = time.process_time()
        result = getattr(module, name)(*arguments)
        took = time.process_time() - began
        answers.write(json.dumps([took, result]) + "\n")
        answers.flush()


main()
