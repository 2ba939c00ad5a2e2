"""Numbers: the lattice of integer updates, rules from `(clients, dim)` to `(dim)`, the outer step, credit scores."""
