"""How it runs: plan, container, images, inputs, outputs."""
