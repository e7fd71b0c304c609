"""What an answer costs, by part and by layout (07_efficiency)."""
