"""Models with one thing changed each (05_ablation)."""
