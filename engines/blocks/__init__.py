"""Network blocks that two or more engines share."""
