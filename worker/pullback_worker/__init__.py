"""The worker room: kernels and executors, which run graphs, and the actor that serves them."""
