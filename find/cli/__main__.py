"""`python -m find.cli` is the command `findvl`."""

import sys

from find.cli.main import main

sys.exit(main())
