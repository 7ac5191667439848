"""chemtune: fine-tune a small language model on a table of molecules, next to strong baselines."""

__version__ = "0.1.0"
