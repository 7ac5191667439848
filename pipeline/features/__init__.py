"""What is computed of a structure, once, and shared by all above: fingerprints, descriptors, columns of inputs."""
