"""Runs modules one after the other as `python -m` does, in one process: importing the libraries is most of a command.

python -m commands '[["find.cli", "data", "check", "FOLDER"], ...]' prints what each one printed, as a JSON list.
"""

import contextlib
import io
import json
import runpy
import sys

if __name__ == "__main__":
    printed = []
    for module, *arguments in json.loads(sys.argv[1]):
        sys.argv[1:] = arguments
        with contextlib.redirect_stdout(io.StringIO()) as said:
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            except SystemExit as end:
                if end.code:
                    sys.exit(f"{module} {' '.join(arguments)}: ended with {end.code}\n{said.getvalue()}")
        printed.append(said.getvalue())
    print(json.dumps(printed))
