"""Many specs from one: points, samplers, and the batch that runs them."""
