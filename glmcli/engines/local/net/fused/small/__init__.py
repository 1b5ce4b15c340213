"""What a step does between the products with weights: in plain torch, and by kernels of our own."""
