"""One setting at a time: chosen on validation users, reported on test users (06_hyperparameters)."""
