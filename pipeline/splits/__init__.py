"""Who is tested on whom: group labels, and splitters over them."""
