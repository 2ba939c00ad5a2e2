"""Properties run without a deadline: a loaded machine or a slow disk is not a defect of the code."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
