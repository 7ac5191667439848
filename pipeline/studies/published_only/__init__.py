"""How wrong models of published tables are about the reactions of unseen papers that also failed."""
