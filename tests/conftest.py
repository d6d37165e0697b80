"""What holds for all tests: Hypothesis sets no deadline, since an example that is slow on a busy machine is no fault.

Speed belongs in the bench.
"""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
