"""The suite: it mirrors the packages, and each test of a rule of the standard names the rule."""
