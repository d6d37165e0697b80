"""How an object of the user becomes an agent: one file per kind of object, none imports another."""
