"""Every baseline on every dataset, with the settings that a search chose (04_recommendation)."""
