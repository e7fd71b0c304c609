"""One room an experiment, and one notebook a room; none imports another."""
