"""Properties run without a deadline: a loaded machine or a slow disk is not a defect of the code.

By hand they explore, with other inputs in each run. CI sets HYPOTHESIS_PROFILE=repeatable: the same inputs for the same tests,
so that a change is judged by what it changed.
"""

import os

from hypothesis import settings

settings.register_profile("exploring", deadline=None)
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "exploring"))
