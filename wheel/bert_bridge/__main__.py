"""`python -m bert_bridge` is the command `bert-bridge`."""

import sys

from .launcher import main

sys.exit(main())
