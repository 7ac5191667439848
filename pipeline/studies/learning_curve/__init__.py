"""How the error of each arm falls with the number of measurements, and how many rows one arm is worth in another."""
