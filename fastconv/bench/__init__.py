"""The 100-update timing: every implementation at hand, in turn, in one run."""
