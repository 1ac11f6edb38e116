"""Questions over all runs: the index that answers them, searches, leaderboards, who made a number or a file."""
