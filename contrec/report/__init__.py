"""What is shown of a study: its notebooks executed, and one page over them."""
