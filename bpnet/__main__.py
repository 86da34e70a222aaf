"""Run the command ``bpnet`` by ``python -m bpnet``."""

import sys

from bpnet.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
