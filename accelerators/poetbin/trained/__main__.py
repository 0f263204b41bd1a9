"""`python -m accelerators.poetbin.trained DIR NAME`."""

import sys

from accelerators.poetbin.trained import main

sys.exit(main())
