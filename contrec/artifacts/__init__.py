"""What is kept: artifacts under fingerprints, stage versions, and where every recorded number comes from."""
