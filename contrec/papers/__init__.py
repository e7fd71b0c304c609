"""What is printed in both papers and in the authors' code, and whether it can be true."""
