"""Run the demo: `python -m example_project.demo`."""

import sys

from example_project.demo.story import main

sys.exit(main())
