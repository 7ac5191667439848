"""Beyond the data: along directions of the descriptors, and beyond the labels that training has seen."""
