"""Which images look alike: by the features that trainings read as well, searched in memory, without torch."""
