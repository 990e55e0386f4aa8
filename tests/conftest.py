"""What holds for every test."""

from hypothesis import settings

# Whoever shares the machine makes any example late at any moment; how long things take is measured in bench/.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
