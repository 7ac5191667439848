"""Settings: frozen dataclasses that a YAML file and the command line fill, checked before anything starts."""
