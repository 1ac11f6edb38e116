"""What the verbs are made of: the rooms meet here, and nowhere else."""
